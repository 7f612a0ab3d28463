"""export.py: what other programs read is the same network, and nothing else is left."""

import contextlib
import errno
import io
import json
import os
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import export
import predict
import utils
from conf.methods import MODEL_TYPES
from data.datasets import DATASETS
from records import checkpoint, portable
from supervised_pretrained.start import read_weights
from tests.checkpoints import MEAN, STD, make_checkpoint
from tests.common import ROOT, rows_of

CLASSES = ["new\nline", 'quo"te', "é☃"]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "apply.md").read_text(encoding="utf-8"), re.S)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{(stem, model type): checkpoint}, at the widths that other programs know."""
    folder = tmp_path_factory.mktemp("made")
    return {(stem, kind): make_checkpoint(folder / stem, CLASSES, "cifar100", stem, 40, kind)
            for stem in ("3x3", "7x7") for kind in ("Supervised", "SelfSupervisedPretraining")}


def needs(form):
    for name in portable.FORMATS[form].needs:
        pytest.importorskip(name)


def run(path, form, out, *more):
    return utils.run(export.main, ["--checkpoint", str(path), "--format", form, "--out", str(out), *more])


def error_of(capsys):
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("form", portable.FORMATS)
@pytest.mark.parametrize("stem, kind, what", [("3x3", "Supervised", "classifier"), ("7x7", "Supervised", "backbone"),
                                              ("7x7", "SelfSupervisedPretraining", "backbone")])
def test_what_is_read_is_what_was_trained(made, tmp_path, capsys, form, stem, kind, what):
    """Read by hand, without what export.py itself reads with; the facts are told in each file."""
    needs(form)
    path, out = made[stem, kind], tmp_path / f"net{portable.FORMATS[form].ending}"
    assert run(path, form, out, "--what", what) == 0
    said = capsys.readouterr().out
    assert ("Conv2d(3, 64, 3, 1, 1, bias=False), maxpool = Identity" in said) == (stem == "3x3" and form != "onnx")
    model = predict.network_of(checkpoint.read(path)).eval()
    images = torch.randn(7, 3, 40, 40)
    with torch.no_grad():
        wanted = model(images) if what == "classifier" else model.features(images)
    facts, found = read(form, out, images.numpy())
    assert found.shape == wanted.shape and np.abs(found - wanted.numpy()).max() < 1e-4
    assert (facts["image_size"], facts["stored_size"], facts["mean"], facts["std"]) == (40, 32, list(MEAN), list(STD))
    assert facts["classes"] == (CLASSES if what == "classifier" else [])
    assert len(list(tmp_path.iterdir())) == 1 + (form == "torchvision")


def read(form, path, images):
    """(facts, outputs) of a file."""
    if form == "onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession(str(path))
        facts = session.get_modelmeta().custom_metadata_map
        return {name: json.loads(text) for name, text in facts.items()}, session.run(None, {"images": images})[0]
    import torchvision
    if form == "torchvision":
        facts, tensors = json.loads(path.with_suffix(".json").read_text("utf-8")), torch.load(path, weights_only=True)
    else:
        from safetensors import safe_open
        with safe_open(path, "pt") as file:
            facts = {name: json.loads(text) for name, text in file.metadata().items() if name != "format"}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    model = torchvision.models.resnet18(num_classes=3)
    if facts["stem"] == "3x3":
        model.conv1, model.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    if not facts["classes"]:
        model.fc = torch.nn.Identity()
    model.load_state_dict(tensors)
    with torch.no_grad():
        return facts, model.eval()(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("form", portable.FORMATS)
@pytest.mark.parametrize("wrong", ["a weight", "a name", "half"])
def test_a_file_that_differs_is_not_kept(made, tmp_path, capsys, monkeypatch, form, wrong):
    """And what lay there before stays."""
    needs(form)
    write = portable.FORMATS[form].write

    def spoilt(model, facts, file):
        if wrong == "a weight":
            model.layer3[1].conv2.weight.data[5, 3, 1, 1] += 1
        if wrong == "a name":
            model.more, facts = torch.nn.Linear(1, 1), {**facts, "stem": "other"}
        write(model, facts, file)
        if wrong == "half":
            file.truncate(file.tell() // 2)
    monkeypatch.setitem(portable.FORMATS, form, portable.FORMATS[form]._replace(write=spoilt))
    out = tmp_path / f"net{portable.FORMATS[form].ending}"
    out.write_text("before")
    assert run(made["3x3", "Supervised"], form, out) == 1
    assert "not kept" in error_of(capsys) and out.read_text() == "before" and list(tmp_path.iterdir()) == [out]


def test_a_pretraining_has_no_classifier(made, tmp_path, capsys):
    assert run(made["7x7", "SelfSupervisedPretraining"], "timm", tmp_path / "net.safetensors") == 1
    assert "take --what backbone" in error_of(capsys) and not list(tmp_path.iterdir())


def test_a_pretraining_with_labels_has_one(tmp_path):
    path = make_checkpoint(tmp_path, CLASSES, "cifar100", "7x7", 40, "SupervisedPretraining")
    assert run(path, "torchvision", tmp_path / "net.pth") == 0
    facts, found = read("torchvision", tmp_path / "net.pth", np.zeros((2, 3, 40, 40), "f4"))
    assert facts["classes"] == CLASSES and found.shape == (2, 3)


def test_other_files_are_none_of_ours(made, tmp_path, capsys):
    torch.save(checkpoint.read(made["7x7", "Supervised"])["model"], tmp_path / "weights.pth")
    for path, message in ((tmp_path / "weights.pth", "not a checkpoint of train.py"),
                          (tmp_path / "gone", "no checkpoint at")):
        assert run(path, "torchvision", tmp_path / "net.pth") == 1
        assert message in error_of(capsys)
    assert run(made["7x7", "Supervised"], "torchvision", tmp_path / "no" / "net.pth") == 1
    assert "use --out in another FOLDER" in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_the_newest_is_found(made, tmp_path, capsys):
    common = ["--output-dir", str(made["3x3", "Supervised"].parents[3]), "--format", "timm"]
    for kind, data, what in (("Supervised", [], "classifier"),
                             ("SelfSupervisedPretraining", ["--data", "cifar100"], "backbone")):
        out = tmp_path / f"{kind}.safetensors"
        assert utils.run(export.main, ["--model-type", kind, *data, *common, "--what", what, "--out", str(out)]) == 0
    words = ["--model-type", "VICReg", *common, "--what", "backbone", "--out", str(tmp_path / "net.safetensors")]
    capsys.readouterr()
    assert utils.run(export.main, words) == 1
    assert "python pretrain.py --model-type VICReg --data imagenet" in error_of(capsys)


@pytest.mark.parametrize("words, message",
                         [(["--out", "a.bin"], ".safetensors"), ([], "--out"), (["--format", "x"], "--format")])
def test_wrong_usage(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        export.parse(["--format", "timm", "--checkpoint", "x", *words])
    assert stop.value.code == 2 and message in error_of(capsys)


@pytest.mark.parametrize("form", portable.FORMATS)
def test_a_full_disk(made, tmp_path, capsys, monkeypatch, form):
    """It is an OSError to all formats, and no file is left."""
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    needs(form)
    kept, write = portable.FORMATS[form], portable.FORMATS[form].write
    monkeypatch.setitem(portable.FORMATS, form, kept._replace(write=lambda *given: write(*given[:2], Full())))
    assert run(made["7x7", "Supervised"], form, tmp_path / f"net{kept.ending}") == 1
    assert f"{tmp_path}: cannot write the network (No space left on device)" in error_of(capsys)
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_is_not_written_over(made, capsys):
    path = made["3x3", "Supervised"]
    before = path.read_bytes()
    with pytest.raises(SystemExit) as stop:
        run(path, "torchvision", path)
    assert stop.value.code == 2 and "would be written over" in error_of(capsys) and path.read_bytes() == before


def test_without_the_other_program(made, tmp_path, capsys, monkeypatch):
    """ONNX names what to install; timm's layout is compared with ours, and that is said."""
    for name in ("onnx", "timm"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(made["3x3", "Supervised"], "onnx", tmp_path / "net.onnx") == 1
    assert "pip install onnx onnxruntime" in error_of(capsys) and not list(tmp_path.iterdir())
    assert run(made["3x3", "Supervised"], "timm", tmp_path / "net.safetensors") == 0
    assert "our own network under timm's names, for timm is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["torchvision", "timm"])
def test_what_was_exported_still_says_who_made_it_and_what_input_it_expects(made, tmp_path, form):
    out = tmp_path / f"net{portable.FORMATS[form].ending}"
    assert run(made["7x7", "SelfSupervisedPretraining"], form, out, "--what", "backbone") == 0
    weights = start("SelfSupervisedPretrained", out)
    assert (weights.image_size, weights.usual["mean"]) == (40, tuple(MEAN)) and weights.found.stated
    with pytest.raises(ValueError, match="made by SelfSupervisedPretraining, without labels; take --model-type Self"):
        start("SupervisedPretrained", out)


def test_what_lies_beside_other_weights_is_not_believed(made, tmp_path):
    out = tmp_path / "net.pth"
    assert run(made["7x7", "SelfSupervisedPretraining"], "torchvision", out, "--what", "backbone") == 0
    torch.save({name: tensor + 1 for name, tensor in torch.load(out).items()}, out)
    assert start("SupervisedPretrained", out).image_size == 224
    for text in ("[]", "{", '{"weights": []}'):
        out.with_suffix(".json").write_text(text)
        assert start("SupervisedPretrained", out).image_size == 224


def start(name, path):
    return read_weights(MODEL_TYPES[name], "resnet18", DATASETS["cifar100"], path, say=lambda line: None)


def test_the_stem_is_a_networks_own(made):
    """What a 3x3 stem is to torchvision is said in the words that it is built from."""
    conv1, maxpool = portable.STEM.split(", maxpool = ")
    built = eval(conv1.removeprefix("conv1 = "), vars(torch.nn))
    state = checkpoint.read(made["3x3", "Supervised"])["model"]
    assert built.weight.shape == state["conv1.weight"].shape and built.stride == (1, 1)
    assert isinstance(eval(maxpool, vars(torch.nn)), torch.nn.Identity)


def draw(folder):
    """Pictures of every kind that the lines of docs/apply.md are for. Returns: their names."""
    rng = np.random.default_rng(1)

    def smooth(width, height, mode="RGB"):
        small = rng.integers(0, 256, (5, 7, len(mode)), dtype=np.uint8)
        return Image.fromarray(small if len(mode) > 1 else small[..., 0]).resize((width, height), Image.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth(640, 400).save(folder / "large.jpg", quality=90)
    smooth(300, 200).save(folder / "turned.jpg", exif=turned)
    smooth(50, 90, "RGBA").save(folder / "transparent.png")
    smooth(33, 32, "L").save(folder / "grey.png")
    smooth(32, 32).save(folder / "exact.png")
    smooth(20, 64).quantize(20).save(folder / "palette.gif")
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
@pytest.mark.parametrize("form, block", [("torchvision", 1), ("timm", 2), ("onnx", 3)])
def test_the_lines_of_the_readme_give_the_classes_of_predict(made, tmp_path, monkeypatch, form, block, stem):
    """Pictures that no program of ours has stored: first the preparation, then the lines of the other program."""
    needs(form)
    if form == "timm":
        pytest.importorskip("timm")
    path = made[stem, "Supervised"]
    (tmp_path / "pictures").mkdir()
    names = draw(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    assert utils.run(predict.main, ["--checkpoint", str(path), "--amp", "off", "--workers", "1", "--out", "classes.csv",
                                    "pictures"]) == 0
    wanted = [(row["class"], float(row["probability"])) for row in rows_of("classes.csv")]
    assert run(path, form, f"net{portable.FORMATS[form].ending}") == 0
    assert {"torchvision": "torchvision", "timm": "timm", "onnx": "onnxruntime"}[form] in BLOCKS[block]
    shown = BLOCKS[block].replace("print(", "print_class(").replace("picture.jpg", "{name}")
    for name, (label, share) in zip(names, wanted, strict=True):
        said, space = io.StringIO(), {"print_class": lambda text: print(text, end="")}
        with contextlib.redirect_stdout(said):
            exec(BLOCKS[0] + shown.replace("{name}", f"pictures/{name}"), space)
        assert said.getvalue() == label, name
        logits = space["logits"][0] if form == "onnx" else \
            space["network"](torch.from_numpy(space["prepare"](f"pictures/{name}", space["facts"])))[0].detach().numpy()
        assert torch.from_numpy(logits).softmax(0).max().item() == pytest.approx(share, abs=2e-4), name
    assert len({label for label, _ in wanted}) > 1
