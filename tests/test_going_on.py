"""Pre-training that goes on from weights: ImageNet's, another pre-training's, somebody else's."""

import pytest
import torch
import yaml

import pretrain
import report
import train
from grid_search.cells import make_cells
from records import checkpoint
from records.setting import read_config
from supervised.resnet import resnet
from tests.common import rows_of, run

pytestmark = pytest.mark.usefixtures("narrow")
SHORT = ["--sample-ratio", "1", "--batch-size", "9", "--image-size", "16", "--knn-every", "0", "--amp", "off",
         "--epochs", "1"]
STILL = ["--lr", "1e-30", "--weight-decay", "0"]  # leaves weights as they were
LINEAR = ["--model-type", "SelfSupervisedPretrained", "--batch-size", "7", "--epochs", "1", "--lr", "0.01",
          "--amp", "off"]


def backbone(path):
    """Parameters of the ResNet in a checkpoint, of a network with a projector or without."""
    found = {name.removeprefix("backbone."): value for name, value in checkpoint.read(path)["model"].items()}
    return {name: value for name, value in found.items()
            if not name.startswith("fc.") and not name.split(".")[-1].startswith(("running", "num_batches"))}


def pretrained(root, *arguments, output):
    assert run(pretrain, root, *SHORT, *arguments, output=output) == 0
    path, = (root / output).glob("checkpoint/*/*/last.pth")
    return path


@pytest.fixture
def start(image_folder):
    return pretrained(image_folder, "--model_type", "SupervisedPretraining", "--stem", "7x7", "--mean", "0.1,0.2,0.3",
                      output="start")


@pytest.mark.parametrize("pretraining", ["SelfSupervisedPretraining", "VICReg", "SupervisedPretraining"])
def test_it_begins_with_the_weights_and_the_input_that_they_expect(image_folder, start, pretraining):
    path = pretrained(image_folder, "--model_type", pretraining, *STILL, "--pretrained-model-path", start,
                      output="more")
    wanted, found = backbone(start), backbone(path)
    assert wanted.keys() == found.keys()
    assert all(torch.allclose(wanted[name], found[name], atol=1e-6) for name in wanted)
    said = checkpoint.read(path)["trained_as"]
    assert said["stem"] == "7x7" and list(said["mean"]) == [0.1, 0.2, 0.3]
    plain = pretrained(image_folder, "--model_type", pretraining, *STILL, "--stem", "7x7", output="plain")
    assert not all(torch.allclose(wanted[name], value, atol=1e-6) for name, value in backbone(plain).items())


def test_who_it_comes_from_is_known_all_the_way(image_folder, start, capsys):
    more = pretrained(image_folder, "--pretrained-model-path", start, output="out")
    pretrained(image_folder, "--stem", "7x7", output="other")
    other, = image_folder.glob("other/checkpoint/*/*/last.pth")
    for path in (more, other):
        assert run(train, image_folder, *LINEAR, "--pretrained-model-path", path) == 0
    config = read_config(max(image_folder.glob("out/res/SelfSup*.yml"), key=lambda path: len(path.read_text())))
    assert config["weights"]["run"]["weights"]["run"]["settings"]["model_type"] == "SupervisedPretraining"
    assert config["duplicates"]["pretraining/val"] == 0, "known of both pre-trainings"

    capsys.readouterr()
    assert report.main(["--res", str(image_folder / "out/res"), "--out", str(image_folder)]) == 0
    text = capsys.readouterr().out
    best = text.split("All settings")[0]
    assert best.count("SelfSupervisedPretrained ") == 2, "a row of its own"
    assert "Pre-training weights" in best


def test_images_behind_the_weights_count_as_seen(image_folder, capsys):
    """What a training holds out must not have been learned from, however far back."""
    labels = ["--data", "cifar100", "--model_type", "SupervisedPretraining", "--val-ratio", "0"]
    first = pretrained(image_folder, *labels, output="first")
    second = pretrained(image_folder, "--pretrained-model-path", first, output="second")
    capsys.readouterr()
    assert run(train, image_folder, *LINEAR, "--pretrained-model-path", second) == 1
    assert "held out to choose on have been pre-trained on" in capsys.readouterr().err


def test_weights_of_others(image_folder, tmp_path, capsys):
    torch.save(resnet("resnet18", 10, "7x7").state_dict(), tmp_path / "theirs.pth")
    path = pretrained(image_folder, "--pretrained-model-path", tmp_path / "theirs.pth", output="out")
    assert "taken to expect 16 px" in capsys.readouterr().out
    assert checkpoint.read(path)["seen"] is None, "nobody knows what they have seen"
    config = yaml.safe_load(path.with_name("config.yml").read_text())
    assert config["weights"]["from"] == "file" and config["flags"]["pretrained_model_path"].endswith("theirs.pth")


def test_the_word_imagenet(image_folder, monkeypatch):
    model = resnet("resnet18", 10, "7x7")
    presets = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "image_size": 224}
    monkeypatch.setattr("supervised_pretrained.start.imagenet_weights", lambda arch: (model.state_dict(), presets))
    path = pretrained(image_folder, *STILL, "--pretrained-model-path", "imagenet", output="out")
    assert torch.allclose(backbone(path)["conv1.weight"], model.conv1.weight, atol=1e-6)
    config = yaml.safe_load(path.with_name("config.yml").read_text())
    assert config["weights"]["from"] == "imagenet" and config["settings"]["image_size"] == 16


def test_resume_goes_on_from_the_same_weights_alone(image_folder, start, tmp_path, capsys):
    more = ["--pretrained-model-path", start]
    path = pretrained(image_folder, *more, output="out")
    rows = rows_of(next(image_folder.glob("out/res/*.csv")), timed=False)
    assert run(pretrain, image_folder, *SHORT, *more) == 0 and "left as it is" in capsys.readouterr().out
    state = checkpoint.read(start)
    state["model"] = {name: value * 2 for name, value in state["model"].items()}
    checkpoint.save(start, state)
    assert run(pretrain, image_folder, *SHORT, *more, "--resume") == 1
    assert "it began with other weights than these" in capsys.readouterr().err
    assert path.is_file() and rows_of(next(image_folder.glob("out/res/*.csv")), timed=False) == rows


@pytest.mark.parametrize("words, message", [
    (["--stem", "3x3"], "have a 7x7 stem"), (["--arch", "resnet34"], "another architecture"),
])
def test_weights_that_do_not_fit(image_folder, start, capsys, words, message):
    capsys.readouterr()
    assert run(pretrain, image_folder, *SHORT, *words, "--pretrained-model-path", start) == 1
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (image_folder / "out").exists(), "nothing was begun"


def test_unfinished_weights_and_none_at_all(image_folder, start, capsys):
    checkpoint.save(start, {**checkpoint.read(start), "epoch": 0})
    capsys.readouterr()
    assert run(pretrain, image_folder, *SHORT, "--pretrained-model-path", start) == 1
    assert "epoch 0 of 1" in capsys.readouterr().err
    assert run(pretrain, image_folder, *SHORT, "--pretrained-model-path", "nowhere.pth") == 1
    assert "nowhere.pth" in capsys.readouterr().err


def test_a_grid_s_pretraining_goes_on_from_weights(image_folder, start, monkeypatch):
    monkeypatch.chdir(image_folder)

    def cells(path):
        return make_cells(["1 --model-type SelfSupervisedPretrained --data cifar100"], ["--epochs", "1"],
                          ["--pretrained-model-path", str(path), "--image-size", "16"])

    cell, = cells(start)
    source = cell.source
    assert cell.state() == "new" and source.state() == "new"
    assert source.name.startswith("SelfSupervisedPretraining/imagenet-") and "-stem" not in source.name
    assert source.identity.weights["from"] == "run" and list(source.identity.settings["mean"]) == [0.1, 0.2, 0.3]
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):  # before anything is begun
        cells("nowhere.pth")
