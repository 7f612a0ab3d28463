"""Weights under other names than torchvision's, copies and small parts beside them, and numbers that are none."""

import pytest
import torch

from conf import global_settings as settings
from records.dialects import torchvision_names
from records.weights import find_backbone, load_backbone
from supervised.resnet import ARCHS, resnet

BODY = {name: value for name, value in resnet("resnet18", 1, "7x7").state_dict().items() if not name.startswith("fc.")}
INPUT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "image_size": 32}


def below(prefix, tensors=BODY):
    return {prefix + name: value for name, value in tensors.items()}


def weiaicunzai(name):
    """As conf/models/resnet.py of pytorch-cifar100 names it."""
    part, *rest = name.split(".")
    if part in ("conv1", "bn1"):
        return ".".join(["conv1", str(int(part == "bn1")), *rest])
    block, inner, *rest = rest
    if inner == "downsample":
        inner = "shortcut"
    else:
        inner = f"residual_function.{3 * int(inner[-1]) - 3 + inner.startswith('bn')}"
    return ".".join([f"conv{int(part[-1]) + 1}_x", block, inner, *rest])


def transformers(name):
    """As transformers.ResNetModel names it."""
    kinds = {"conv": "convolution", "bn": "normalization"}
    part, *rest = name.split(".")
    if part in ("conv1", "bn1"):
        return ".".join(["embedder.embedder", kinds[part[:-1]], *rest])
    block, inner, *rest = rest
    if inner == "downsample":
        inner, rest = f"shortcut.{list(kinds.values())[int(rest[0])]}", rest[1:]
    else:
        inner = f"layer.{int(inner[-1]) - 1}.{kinds[inner[:-1]]}"
    return ".".join([f"encoder.stages.{int(part[-1]) - 1}.layers", block, inner, *rest])


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("spoken, prefix, head", [(weiaicunzai, "module.", "module.fc"),
                                                  (transformers, "resnet.", "classifier.1")])
def test_a_dialect_is_the_same_network(arch, spoken, prefix, head):
    model = resnet(arch, 7, "3x3" if spoken is weiaicunzai else "7x7").eval()
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("fc.")}
    found = find_backbone({**{prefix + spoken(name): value for name, value in state.items()},
                           f"{head}.weight": model.fc.weight.detach()}, "x.pth")
    assert (found.place, found.trained_as["arch"], len(found.left_out)) == (prefix, arch, 1)
    other = resnet(arch, 7, found.trained_as["stem"]).eval()
    load_backbone(other, found, "x.pth")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.features(images), other.features(images))


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrapped_parts(wrapper):
    wrapped = {name.replace("layer1.0.", f"layer1.{wrapper}.0.{wrapper}."): value for name, value in BODY.items()}
    assert list(torchvision_names(below("model.", wrapped))) == list(below("model."))
    assert find_backbone(below(f"{wrapper}.", wrapped), "x.pth").place == f"{wrapper}."


def other(step=1):
    return {name: value + step for name, value in BODY.items()}


BESIDE = {  # accepted: what lies beside the backbone, and its name in words
    "Barlow Twins' batch norm behind the projector": ({"module.bn.running_mean": torch.zeros(99),
                                                       "module.bn.running_var": torch.ones(99)},
                                                      "module.bn (2)"),
    "a learned temperature": ({"logit_scale": torch.tensor(1.0)}, "logit_scale (1)"),
    "the same network under another name": (below("online."), f"online ({len(BODY)})"),
    "that with a head": ({**below("online.net."), "online.top.weight": torch.zeros(9, 512)},
                         f"online ({len(BODY) + 1})"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_may_lie_beside(name):
    beside, words = BESIDE[name]
    assert words in find_backbone({**below("module.backbone."), **beside}, "x.pth").left_out


@pytest.mark.parametrize("beside", [
    {"norm.running_mean": torch.zeros(3), "norm.running_var": torch.ones(3)}, below("online.", other()),
    {**below("online."), "online.adapter.weight": torch.zeros(3, 3, 1, 1)}],
    ids=["of pixels", "another network", "a part between"])
def test_what_may_not(beside):
    with pytest.raises(ValueError, match="x.pth: .*(neither its head|different ResNets)"):
        find_backbone({**below("backbone."), **beside}, "x.pth")


def replaced(value, name="conv1.weight"):
    return {**BODY, name: value}


REFUSED = {
    "sparse": (replaced(BODY["conv1.weight"].to_sparse()), "conv1.weight is sparse"),
    "without values": (replaced(BODY["conv1.weight"].to("meta")), "conv1.weight is empty"),
    "two, one without values": ({"a": BODY, "b": {name: value.to("meta") for name, value in BODY.items()}}, "is empty"),
    "beyond float32": (replaced(torch.full((64, 3, 7, 7), 1e200, dtype=torch.float64)), "conv1.weight is not finite"),
    "control signs": ({**BODY, "a\n\x1b[31m\u202eb": torch.zeros(3, 1, 1)}, r"a\\n\\x1b\[31m\\u202eb; save"),
    "nothing": ({}, "take another file"),
    **{f"input: {key} {value}": ({"model": BODY, "trained_as": {**INPUT, key: value}},
                                 "does not say what input it expects")
       for key, value in (("image_size", 10 ** 9), ("image_size", 32.5), ("image_size", torch.tensor(32)),
                          ("std", (1e-300, 1, 1)),
                          ("mean", torch.zeros(3)), ("mean", (1e9, 0, 0)), ("sample_ratio", "all"),
                          ("sample_ratio", 2))},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_of_numbers(name):
    state, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"^x.pth: .*{message}"):
        find_backbone(state, "x.pth")


@pytest.mark.parametrize("state, message", [
    ({name: torch.zeros_like(value) for name, value in BODY.items()}, "the same features for every image"),
    (replaced(-torch.ones(64), "bn1.running_var"), "no finite features")], ids=["zeros", "negative variance"])
def test_weights_that_make_nothing_of_images(state, message):
    model = resnet("resnet18", 5, "7x7")
    with pytest.raises(ValueError, match=f"x.pth: its weights give {message}"):
        load_backbone(model, find_backbone(state, "x.pth"), "x.pth")


def test_a_dict_that_holds_itself():
    state = {"model": BODY}
    state["self"] = state
    assert find_backbone(state, "x.pth").place == "model."


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float16, torch.bfloat16, torch.float64])
def test_other_kinds_of_numbers(kind):
    state = {name: value.to(kind) if value.is_floating_point() else value for name, value in BODY.items()}
    model = resnet("resnet18", 5, "7x7")
    load_backbone(model, find_backbone({**below("a.", state), **below("b.", state)}, "x.pth"), "x.pth")
    assert torch.equal(model.conv1.weight, state["conv1.weight"].float())
    assert settings.LEAST_STD < 1 / 255, "networks that take 0..255"
