"""What files of weights say of their network and its input, and what is believed of it."""

import argparse

import pytest
import torch
from safetensors.torch import save_file

from conf import global_settings as settings
from records import checkpoint
from records.weights import find_backbone
from tests.records.test_weights import WHOLE, below

VARIANTS = "resnetblur18", "resnetaa50d.sw_in12k", "timm/resnetblur50.bt_in1k", "ResNetBlur-18"
PLAIN = ("resnet18", "resnet50.a1_in1k", "tv_resnet50", "ResNet-18", "resnet_cifar18", "simclr", "resnet50v1.5",
         "resnetv1_50", "gluon_resnet50_v1b", "ssl_resnet18", "resnet", "custom_resnet")


PLACES = {
    "arch": lambda name: {"arch": name}, "dict": lambda name: {"args": {"model": name}},
    "namespace": lambda name: {"args": argparse.Namespace(arch=name, model=None)},
    "opt": lambda name: {"opt": argparse.Namespace(arch=name)},
    "lightning": lambda name: {"hyper_parameters": {"backbone": {"name": name}}},
    "timm": lambda name: {"pretrained_cfg": {"architecture": name}},
    "safetensors": lambda name: {checkpoint.METADATA: {"architecture": name}}}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_variants_with_the_same_tensors_are_known_by_their_name(place):
    """timm's antialiased ones have none beside torchvision's."""
    for name in PLAIN:
        find_backbone({"state_dict": WHOLE, **place(name)}, "x.pth")
        find_backbone({"state_dict": WHOLE, "cfg": {**place(name), "teacher": place(VARIANTS[0])}}, "x.pth")
    for name in VARIANTS:
        with pytest.raises(ValueError, match=f"^x.pth: of another architecture: it says that it is a {name}, [^\n]*$"):
            find_backbone({"state_dict": WHOLE, **place(name)}, "x.pth")


@pytest.mark.parametrize("origin", ["resnetblur50-84f4748f.pth", "models/resnetaa50.a1h_in1k/model.safetensors"])
def test_variants_that_a_file_is_called_by(origin):
    with pytest.raises(ValueError, match="of another architecture: it says that it is a resnet"):
        find_backbone({"state_dict": WHOLE}, origin)
    find_backbone({"state_dict": WHOLE}, "resnetrun50-blur.pth")


@pytest.mark.parametrize("said", [{"replace_stride_with_dilation": [False, True, True]}, {"output_stride": 8}])
def test_dilated_ones_are_refused(said):
    plain = dict.fromkeys(said, [False] * 3 if "dilation" in str(said) else 32)
    find_backbone({"state_dict": WHOLE, "hyper_parameters": plain}, "x.pth")
    with pytest.raises(ValueError, match="x.pth: .*it says that it is a dilated ResNet"):
        find_backbone({"state_dict": WHOLE, "hyper_parameters": said}, "x.pth")


HALF, IMAGENET = {"mean": [0.5] * 3, "std": [0.5] * 3}, settings.IMAGENET_MEAN


@pytest.mark.parametrize("beside, size, mean, stated", [
    ({"args": argparse.Namespace(model="resnet18", **HALF, img_size=128)}, 128, [0.5] * 3, True),
    ({"args": argparse.Namespace(model="resnet18", mean=None, std=None, img_size=128)}, 224, IMAGENET, False),
    ({"pretrained_cfg": {**HALF, "input_size": (3, 160, 160)}}, 160, [0.5] * 3, True),
    ({"hyper_parameters": HALF}, 224, [0.5] * 3, False),
    ({name: torch.tensor(values) for name, values in HALF.items()}, 224, [0.5] * 3, False),
    ({"cfg": {"mean": [127.5] * 3, "std": [127.5] * 3}}, 224, [0.5] * 3, False),
    ({"cfg": {"mean": [0, 0, 0], "std": [255] * 3}}, 224, (0,) * 3, False),
    ({checkpoint.METADATA: {"mean": "[127.5, 127.5, 127.5]", "std": "[127.5, 127.5, 127.5]"}}, 224, [0.5] * 3, False),
    ({checkpoint.METADATA: {"mean": "0.5,0.5,0.5", "std": "[0.5, 0.5, 0.5]"}}, 224, [0.5] * 3, False),
    ({"args": {**HALF, "img_size": []}}, 224, [0.5] * 3, False),
    ({"args": {**HALF, "img_size": 2048}}, 224, [0.5] * 3, False),
    ({"args": {**HALF, "input_size": (96, 96, 3)}}, 96, [0.5] * 3, True),
    ({"args": {"mean": [0.5, float("nan"), 0.5], "std": [0.5] * 3, "img_size": 64}}, 224, IMAGENET, False),
    ({"mean": torch.empty(3, device="meta"), "std": [0.5] * 3}, 224, IMAGENET, False),
    ({"mean": torch.ones(3).to_sparse(), "std": [0.5] * 3}, 224, IMAGENET, False),
    ({"target_norm": HALF}, 224, IMAGENET, False),
    ({"args": {"mean": [0.5, 0.5], "std": [0.5, 0.5]}}, 224, IMAGENET, False),
    ({"args": {"mean": "half", "std": {}}}, 224, IMAGENET, False)])
def test_the_input_that_a_file_of_others_states(beside, size, mean, stated):
    """A line says the rest, and what is assumed where it says nothing."""
    found = find_backbone({"state_dict": WHOLE, **beside}, "x")
    assert (found.trained_as["image_size"], found.stated) == (size, stated)
    assert tuple(found.trained_as["mean"]) == tuple(mean)


@pytest.mark.parametrize("scale", [1, 255])
def test_a_network_that_takes_blue_first_is_refused(scale):
    """As Caffe's and OpenMMLab's configurations say it, which torchvision's names do not show."""
    beside = {"mean": [scale * value for value in (0.406, 0.456, 0.485)], "std": [scale * 0.225] * 3}
    with pytest.raises(ValueError, match="^x: says ImageNet's mean with blue first, [^\n]*$"):
        find_backbone({"state_dict": WHOLE, "cfg": beside}, "x")


@pytest.mark.parametrize("said, stated", [
    ({"mean": "[0.1, 0.2, 0.3]", "std": "[0.5, 0.5, 0.5]", "image_size": "48"}, True),  # as export.py has it
    ({"mean": "[0.1, 0.2, 0.3]", "std": "[0, 0.5, 0.5]", "image_size": "48"}, False), ({"mean": "[" * 10 ** 5}, False),
    ({"format": "pt"}, False), (None, False)])
def test_safetensors_that_say_what_input_they_expect(tmp_path, said, stated):
    save_file(below("encoder."), tmp_path / "x.safetensors", metadata=said)
    found = find_backbone(checkpoint.read(tmp_path / "x.safetensors"), "x")
    assert found.stated == stated
    assert (found.trained_as["mean"], found.trained_as["image_size"]) == (
        ([0.1, 0.2, 0.3], 48) if stated else (settings.IMAGENET_MEAN, 224))
