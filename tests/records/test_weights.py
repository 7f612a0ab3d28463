"""Files of weights that other programs write: which ResNet is found in them, and what is refused."""

import argparse
import pathlib
import re

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from conf import global_settings as settings
from data.datasets import DATASETS
from functions import MODEL_TYPES, build_model
from records import checkpoint
from records.weights import check_arch, find_backbone, load_backbone
from supervised.resnet import resnet
from training.command_line import parse_train

MODEL = torchvision.models.resnet18(num_classes=10)
WHOLE = {k: v for k, v in MODEL.state_dict().items()}
BODY = {k: v for k, v in WHOLE.items() if not k.startswith("fc.")}
OLD = {k: v for k, v in WHOLE.items() if "num_batches_tracked" not in k}
CHILDREN = torch.nn.Sequential(*list(MODEL.children())[:-1]).state_dict()
SMALL = {k: v for k, v in resnet("resnet18", 1, "3x3").state_dict().items() if not k.startswith("fc.")}
MLP = {"0.weight": torch.zeros(512, 512), "0.bias": torch.zeros(512), "2.weight": torch.zeros(9, 512),
       "2.bias": torch.zeros(9)}


def below(prefix, tensors=BODY):
    return {prefix + key: value for key, value in tensors.items()}


def changed(tensors=BODY):
    return {key: value + 1 for key, value in tensors.items()}


def renumbered(names):
    """The backbone in an nn.Sequential where its parts have these numbers."""
    return {".".join([str(names.index(part)), *rest]): value
            for (part, *rest), value in ((key.split("."), value) for key, value in BODY.items())}


PARTS = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
FILES = {  # what well-known programs write -> where the ResNet lies, what else there is
    "torchvision": (WHOLE, "", ["fc (2)"]),
    "torchvision before 0.4.1": (OLD, "", ["fc (2)"]),
    "pretrainedmodels": ({**BODY, **below("last_linear.", {"weight": torch.zeros(10, 512)})}, "", ["last_linear (1)"]),
    "simclr": ({"epoch": 3, "arch": "resnet18", "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
                "state_dict": {**below("backbone."), **below("backbone.fc.", MLP)}},
               "state_dict.backbone.", ["backbone.fc (4)"]),
    "imagenet example": ({"arch": "resnet18", "best_acc1": torch.tensor(70.0), "state_dict": below("module.", WHOLE)},
                         "state_dict.module.", ["module.fc (2)"]),
    "moco": ({"state_dict": {**below("module.encoder_q."), **below("module.encoder_q.fc.", MLP),
                             **below("module.encoder_k.", changed()), "module.queue": torch.zeros(128, 99),
                             "module.queue_ptr": torch.zeros(1)}},
             "state_dict.module.encoder_q.",
             ["module.encoder_q.fc (4)", f"module.encoder_k ({len(BODY)})", "module.queue (1)",
              "module.queue_ptr (1)"]),
    "simsiam": ({"state_dict": {**below("module.encoder."), **below("module.predictor.", MLP)}},
                "state_dict.module.encoder.", ["module.predictor (4)"]),
    "supcon": ({"model": {**below("encoder.module."), **below("head.", MLP)}}, "model.encoder.module.", ["head (4)"]),
    "solo-learn": ({"state_dict": {**below("backbone."), **below("momentum_backbone.", changed()),
                                   "classifier.weight": torch.zeros(9, 512), "projector.1.bias": torch.zeros(9)}},
                   "state_dict.backbone.",
                   [f"momentum_backbone ({len(BODY)})", "classifier (1)", "projector (1)"]),
    "lightly": ({"state_dict": {**below("backbone.", CHILDREN), "projection_head.layers.0.weight": torch.zeros(2, 2)}},
                "state_dict.backbone.", ["projection_head (1)"]),
    "shortcut": ({key.replace("downsample", "shortcut"): value for key, value in BODY.items()}, "", []),
    "compiled": ({"model": below("_orig_mod.module.")}, "model._orig_mod.module.", []),
    "dino": ({"student": below("module.backbone."), "teacher": below("backbone.", changed())},
             "student.module.backbone.", [f"teacher.backbone ({len(BODY)})"]),
    "byol": ({"online_network": WHOLE, "target_network_state_dict": changed(WHOLE)}, "online_network.",
             ["fc (2)", f"target_network_state_dict ({len(BODY)})"]),
    "timm": ({"state_dict": WHOLE, "state_dict_ema": changed(WHOLE)}, "state_dict.",
             ["fc (2)", f"state_dict_ema ({len(BODY)})"]),
    "vissl": ({"classy_state_dict": {"base_model": {"model": {"trunk": below("_feature_blocks.")}}}},
              "classy_state_dict.base_model.model.trunk._feature_blocks.", []),
    "only a teacher": ({"teacher": below("backbone.")}, "teacher.backbone.", []),
    "the same twice": ({**below("a."), **below("momentum.a.", changed()), "b": below("b.")}, "a.",
                       [f"momentum ({len(BODY)})", f"b.b ({len(BODY)})"]),
}


@pytest.mark.parametrize("name", FILES)
def test_the_backbone_is_found_and_the_rest_accounted_for(name):
    state, place, left_out = FILES[name]
    found = find_backbone(state, "x.pth")
    assert (found.place, list(found.left_out)) == (place, left_out)
    assert found.trained_as["arch"] == "resnet18" and found.trained_as["stem"] == "7x7"
    model = resnet("resnet18", 7, "7x7")
    load_backbone(model, found, "x.pth")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in BODY.items()) and model.fc.out_features == 7


@pytest.mark.parametrize("arch, stem", [("resnet18", "3x3"), ("resnet34", "7x7"), ("resnet50", "7x7")])
def test_architecture_and_stem_are_seen_in_the_tensors(arch, stem):
    state = resnet(arch, 5, stem).state_dict()
    found = find_backbone({k: v for k, v in state.items() if "num_batches_tracked" not in k}, "x.pth")
    assert (found.trained_as["arch"], found.trained_as["stem"]) == (arch, stem)
    other = "resnet34" if arch == "resnet18" else "resnet18"
    with pytest.raises(ValueError, match=f"x.pth: of another architecture: a {arch}, not --arch {other}"):
        check_arch(found, "x.pth", other)


def nan(name):
    return {**BODY, name: torch.full_like(BODY[name], float("nan"))}


REFUSED = {
    "nothing": ({"epoch": 3}, "no ResNet .*it holds no tensors"),
    "another network": ({"model": {"embed.weight": torch.zeros(2), "blocks.0.attn": torch.zeros(2)}},
                        "it holds 2 tensors: model.embed.weight, model.blocks.0.attn"),
    "deep stem": ({("conv1.0.weight" if k == "conv1.weight" else k): v for k, v in BODY.items()},
                  r"no ResNet .*: conv1.0.weight, bn1.weight, .* \.\.\."),
    "missing": ({k: v for k, v in BODY.items() if k != "layer3.0.bn1.bias"}, "missing layer3.0.bn1.bias"),
    "unexpected": ({**BODY, "layer1.0.se.weight": torch.zeros(1)}, "unexpected layer1.0.se.weight"),
    "greyscale": ({**BODY, "conv1.weight": torch.zeros(64, 1, 7, 7)}, r"conv1.weight is \(64, 1, 7, 7\) instead"),
    "scalar": ({**BODY, "conv1.weight": torch.tensor(1.0)}, r"conv1.weight is \(\) instead"),
    "wide": ({k: v.repeat(2, *[1] * (v.ndim - 1)) if v.ndim else v for k, v in BODY.items()}, "keys do not fit"),
    "nan": (nan("bn1.running_var"), "bn1.running_var is not finite"),
    "inf": ({**BODY, "layer4.1.conv2.weight": BODY["layer4.1.conv2.weight"] / 0}, "conv2.weight is not finite"),
    "quantised": ({**BODY, "conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int8)}, "conv1.weight is torch.int8"),
    "normalisation": ({**below("model."), "normalize.mean": torch.zeros(3)}, "neither its head .*: normalize.mean"),
    "input layer": ({**below("model."), "stem.weight": torch.zeros(3, 1, 1, 1)}, "neither its head .*: stem.weight"),
    "two": ({"state_dict": {**below("image."), **below("depth.", changed())}},
            "2 different ResNets .*'state_dict.image.', 'state_dict.depth.'"),
    "no max-pool": (below("encoder.", renumbered(["conv1", "bn1", "relu", *PARTS[2:]])),
                    r"an nn.Sequential \(encoder.0, ...\) without the ReLU or max-pool"),
    "children with tensors": (below("encoder.", renumbered(PARTS)),
                              r"an nn.Sequential \(encoder.0, ...\) without the ReLU"),
    "solo-learn's padding": ({"state_dict": {**below("backbone.", SMALL), "classifier.weight": torch.zeros(9, 512)}},
                             r"laid out as solo-learn's files \(state_dict.backbone. beside classifier\)"),
    "no mean": ({"model": BODY, "trained_as": {"std": (1, 1, 1), "image_size": 8}}, "trained_as does not say"),
    "no deviation": ({"model": BODY, "trained_as": {"mean": (0, 0, 0), "std": (1, 1, 0), "image_size": 8}},
                     "trained_as does not say"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_what_is_there(name):
    state, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"^x.pth: .*{message}"):
        find_backbone(state, "x.pth")


def test_without_max_pool_goes_a_stem_for_small_images():
    numbers = {part: str(k) for k, part in enumerate(["conv1", "bn1", "relu", *PARTS[2:]])}
    state = {f"{numbers[part]}.{rest}": value for (part, _, rest), value in
             ((key.partition("."), value) for key, value in SMALL.items()) if part in numbers}
    assert find_backbone(state, "x.pth").trained_as["stem"] == "3x3"


def test_names_that_become_one_are_refused():
    wrapped = {key.replace("layer1.0", "layer1._orig_mod.0"): value for key, value in changed().items()}
    with pytest.raises(ValueError, match="^x: 12 of its tensors have the name of another one"):
        find_backbone({**BODY, **wrapped}, "x")


def build(path, **options):
    kind = MODEL_TYPES["SelfSupervisedPretrained"]
    return build_model(kind, "resnet18", 7, DATASETS["cifar100"], path, **options)


def test_the_expected_input_is_stated_recognised_or_printed(tmp_path, capsys):
    """SimCLR's code is known by what only its files have, not by the prefix `backbone.`."""
    imagenet = settings.IMAGENET_MEAN, settings.IMAGENET_STD
    for name, size, statistics in (("simclr", 32, ((0.0,) * 3, (1.0,) * 3)), ("solo-learn", 224, imagenet),
                                   ("torchvision", 224, imagenet)):
        torch.save(FILES[name][0], tmp_path / "x.pth")
        backbone = build(tmp_path / "x.pth")
        assert (backbone.image_size, (backbone.mean, backbone.std)) == (size, statistics)
        assert ("taken to expect 224 px, mean 0.485,0.456,0.406" in capsys.readouterr().out) == (name != "simclr")
    torch.save(resnet("resnet18", 5, "3x3").state_dict(), tmp_path / "x.pth")
    assert build(tmp_path / "x.pth").image_size == 32  # a stem for small images
    assert "a 3x3 stem, padded by 1, and no max-pool" in capsys.readouterr().out  # which no tensor shows


def test_weights_that_never_saw_an_image_are_told(tmp_path, capsys):
    """A model that was saved before its weights were loaded; one batch is enough."""
    model = resnet("resnet18", 5, "3x3")
    for seen in (False, True):
        torch.save(model.state_dict(), tmp_path / "x.pth")
        build(tmp_path / "x.pth")
        assert ("weights of an untrained network?" in capsys.readouterr().out) != seen
        model.train()(torch.randn(2, 3, 32, 32))


def test_flags_set_the_input(tmp_path):
    torch.save(WHOLE, tmp_path / "x.pth")
    args = parse_train(["--model-type", "Supervised", "--mean", "0.5,0.4,0.3", "--std=0.1,0.2,0.3"])
    backbone = build(tmp_path / "x.pth", image_size=64, mean=args.mean, std=args.std)
    assert backbone[1:4] == (64, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert backbone.trained_as["mean"] == (0.5, 0.4, 0.3)


@pytest.mark.parametrize("words", [["--mean", "0.5"], ["--mean", "a,b,c"], ["--std", "0.1,0.2,0"], ["--std", "1,1,nan"],
                                   ["--mean", "125.3,123.0,113.9"], ["--std", "63,62.1,66.7"],
                                   ["--mean", "0,0,inf"]])
def test_three_numbers_are_needed(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_train(["--model-type", "Supervised", *words])
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


def test_safetensors_whatever_the_name(tmp_path):
    for name in ("x.safetensors", "x.pth"):
        save_file(below("encoder."), tmp_path / name)
        assert torch.equal(build(tmp_path / name).model.conv1.weight, WHOLE["conv1.weight"])
    content = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(content[:len(content) // 2])
    with pytest.raises(ValueError, match="x.pth: damaged"):
        build(tmp_path / "x.pth")


def test_the_format_of_before_zip_files(tmp_path):
    torch.save(OLD, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(build(tmp_path / "x.pth").model.layer4[1].bn2.bias, WHOLE["layer4.1.bn2.bias"])


def test_plain_values_beside_the_tensors(tmp_path):
    """Settings, paths and figures as FAIR's, timm's and torchvision's programs save them."""
    args = argparse.Namespace(lr=0.1, data=pathlib.Path("somewhere"), device="cuda")
    beside = {"args": args, "best": np.float64(0.7), "epochs": np.int64(3), "random": np.arange(5, dtype=np.uint32)}
    torch.save({"model": WHOLE, **beside}, tmp_path / "x.pth")
    state = checkpoint.read(tmp_path / "x.pth")
    assert state["args"].lr == 0.1 and state["best"] == 0.7 and state["random"].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(build(tmp_path / "x.pth").model.conv1.weight, WHOLE["conv1.weight"])


class Hyperparameters(dict):
    """Stands for the classes of its own that a training framework saves."""


def test_a_file_that_needs_code_is_refused_with_the_lines_that_help(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": below("backbone."), "hyper_parameters": Hyperparameters(lr=1)}, path)
    check_that_the_lines_help(path, "Hyperparameters")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_so_is_a_network_in_torchscript(tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.trace(MODEL.eval(), torch.zeros(1, 3, 32, 32)).save(path)
    check_that_the_lines_help(path, "TorchScript")


def check_that_the_lines_help(path, name):
    with pytest.raises(ValueError, match=f"run code .*{name}.*two lines of Python") as error:
        checkpoint.read(path)
    first, second = re.search(r"two lines of Python: (found = .*); (torch.save.*)$", str(error.value)).groups()
    lines = f"import torch\n{first}\n{second}".replace("'plain.pth'", repr(str(path.parent / "plain.pth")))
    exec(lines, {})
    assert torch.equal(build(path.parent / "plain.pth").model.conv1.weight, WHOLE["conv1.weight"])
