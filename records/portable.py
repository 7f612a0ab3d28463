"""The files that other programs read a ResNet of ours from, and those programs' way to read them."""

import importlib
import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Callable, NamedTuple

import torch
from torch import nn

from supervised.convolution import SmallMapConv2d
from supervised.resnet import resnet

INPUT, OUTPUT = "images", {"classifier": "logits", "backbone": "features"}
STEM = "conv1 = Conv2d(3, 64, 3, 1, 1, bias=False), maxpool = Identity()"
END = "fc = Identity()"


def facts_of(what, arch, trained_as, stored_size, classes, made_by, digest):
    """What a program must know to feed a network and to read its answer, as plain values.

    Args: what: "classifier" or "backbone". trained_as: of a checkpoint. stored_size: px a side to
        which a picture is brought first. classes: names by output, empty for a backbone. made_by: the
        method. digest: checkpoint.tensors_digest of the network.
    """
    size = trained_as["image_size"]
    steps = ["upright 8-bit RGB, transparent pixels on white",
             f"its central square to {stored_size} px (PIL, bicubic)",
             "divide by 255, subtract mean, divide by std"]
    if size != stored_size:
        steps.append(f"to {size} px (bilinear, antialiased)")
    return {"arch": arch, "stem": trained_as["stem"], "what": what, "classes": list(classes),
            "image_size": size, "stored_size": stored_size, "mean": list(trained_as["mean"]),
            "std": list(trained_as["std"]), "order": "RGB, (batch, 3, rows, columns), float32",
            "steps": steps, "made_by": made_by, "pretraining": trained_as.get("pretraining"), "weights": digest}


def plain_network(tensors, facts):
    """A network of ours that is made of PyTorch's own layers alone, in eval mode on the CPU.

    Args: tensors: a state dict, without `fc` for a backbone. Raises: RuntimeError where they do not
        fit.
    """
    model = resnet(facts["arch"], max(1, len(facts["classes"])), facts["stem"])
    for module in model.modules():
        if isinstance(module, SmallMapConv2d):
            module.__class__ = nn.Conv2d
    if not facts["classes"]:
        model.fc = nn.Identity()
    model.load_state_dict(tensors)
    return model.eval()


def changes(facts):
    """The lines that make another program's network the one of a file, "" for none."""
    return "; ".join([STEM] * (facts["stem"] == "3x3") + [END] * (facts["what"] == "backbone"))


def as_text(facts):
    """The facts as str -> JSON, for files whose metadata are text."""
    return {name: json.dumps(value) for name, value in facts.items()}


def _write_torchvision(model, facts, file):
    written = io.BytesIO()  # into a file torch.save makes a RuntimeError of a full disk
    torch.save(model.state_dict(), written)
    file.write(written.getbuffer())


def _read_torchvision(path, facts):
    import torchvision
    model = getattr(torchvision.models, facts["arch"])(num_classes=max(1, len(facts["classes"])))
    _fit(model, facts)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval(), f"torchvision {torchvision.__version__}"


def _write_timm(model, facts, file):
    from safetensors.torch import save
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    file.write(save(tensors, {"format": "pt", **as_text(facts)}))


def _read_timm(path, facts):
    from safetensors.torch import load_file
    tensors = load_file(path)
    try:
        import timm
    except ImportError:
        return (plain_network(tensors, facts),
                "our own network under timm's names, for timm is not installed")
    model = timm.create_model(facts["arch"], num_classes=len(facts["classes"]))
    _fit(model, facts)
    model.load_state_dict(tensors)
    return model.eval(), f"timm {timm.__version__}"


def _write_onnx(model, facts, file):
    import onnx
    images, output = torch.zeros(2, 3, *[facts["image_size"]] * 2), OUTPUT[facts["what"]]
    axes = {INPUT: {0: "batch"}, output: {0: "batch"}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "network.onnx"
        warnings.simplefilter("ignore")  # the exporter that needs no further package is the old one
        torch.onnx.export(model, (images,), path, dynamo=False, input_names=[INPUT],
                          output_names=[output], dynamic_axes=axes)
        graph = onnx.load(path)
    onnx.helper.set_model_props(graph, as_text(facts))
    file.write(graph.SerializeToString())


def _read_onnx(path, facts):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    if session.get_modelmeta().custom_metadata_map != as_text(facts):
        raise ValueError("the metadata are not those that were written")
    return (lambda images: torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0]),
            f"onnxruntime {onnxruntime.__version__}")


def _fit(model, facts):
    """As `changes` says."""
    if facts["stem"] == "3x3":
        model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    if facts["what"] == "backbone":
        model.fc = nn.Identity()


class Format(NamedTuple):
    """ending: of its files. needs: packages that are not among the requirements.
    write: (model of `plain_network`, facts, binary file) -> None.
    read: (path, facts) -> (function of images (B, 3, H, H) float32, who read it); raises what the
        other program raises."""

    ending: str
    needs: tuple
    write: Callable
    read: Callable

    def check(self):
        """Raises: ValueError with the command that installs what is missing."""
        for name in self.needs:
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ValueError(f"{name} is not installed ({error}): pip install "
                                 f"{' '.join(self.needs)}") from error


FORMATS = {
    "torchvision": Format(".pth", (), _write_torchvision, _read_torchvision),
    "timm": Format(".safetensors", (), _write_timm, _read_timm),
    "onnx": Format(".onnx", ("onnx", "onnxruntime"), _write_onnx, _read_onnx),
}
