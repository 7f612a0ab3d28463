"""Which checkpoint a program takes: finished, of the right kind and classes, of the epoch that validation chose."""

import csv
import os

import pytest

import pretrain
import test as test_program
import train
from conf.methods import MODEL_TYPES
from records import checkpoint
from self_supervised_pretrained.registry import PRETRAININGS
from supervised_pretrained.start import check_start
from training.command_line import parse_train
from utils import run as run_program

pytestmark = pytest.mark.usefixtures("narrow")
TRAIN = ["--model-type", "Supervised", "--batch-size", "7", "--lr", "0.01", "--image-size", "16", "--amp", "off"]


def run(program, root, *arguments):
    return run_program(program.main, [*arguments, "--data-dir", str(root / "data"), "--output-dir", str(root)])


def write(folder, name, age, epoch, epochs, **more):
    path = folder / name / checkpoint.LAST
    checkpoint.save(path, {"epoch": epoch, "config": {"epochs": epochs, **more}})
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_newest_is_the_finished_one_that_fits(tmp_path):
    said = []
    old, _, other = (write(tmp_path, "old", 20, 3, 3, data="digits"), write(tmp_path, "half", 5, 2, 3, data="digits"),
                     write(tmp_path, "other", 1, 3, 3, data="cifar10"))
    write(tmp_path, "older", 30, 3, 3, data="digits")
    assert checkpoint.newest(tmp_path, lambda state: state["config"]["data"] == "digits", said.append) == old
    assert len(said) == 1 and "half" in said[0] and "epoch 2 of 3" in said[0]
    assert checkpoint.newest(tmp_path, say=said.append) == other
    assert checkpoint.newest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("pretraining", PRETRAININGS)
@pytest.mark.parametrize("model_type", [name for name, kind in MODEL_TYPES.items() if kind.pretraining])
def test_the_kind_of_pretraining_is_the_method_s_own(model_type, pretraining):
    state = {"trained_as": {"pretraining": pretraining}, "config": {"model_type": pretraining, "epochs": 3}, "epoch": 3}
    kind = MODEL_TYPES[model_type]
    if PRETRAININGS[pretraining].labels == PRETRAININGS[kind.pretraining].labels:
        check_start(state, kind, "x.pth")
    else:
        with pytest.raises(ValueError, match=f"^x.pth: made by {pretraining}, with(out)? labels; take --model-type"):
            check_start(state, kind, "x.pth")
    check_start({"state_dict": {}}, kind, "x.pth")  # somebody else's says nothing


def test_half_made_weights_are_refused_with_the_command_that_goes_on(image_folder, capsys):
    arguments = ["--epochs", "2", "--sample-ratio", "1", "--batch-size", "9", "--image-size", "16", "--stem", "7x7",
                 "--knn-every", "0", "--amp", "off"]
    assert run(pretrain, image_folder, *arguments) == 0
    path, = image_folder.glob(f"checkpoint/SelfSupervisedPretraining/*/{checkpoint.LAST}")
    checkpoint.save(path, {**checkpoint.read(path), "epoch": 1})
    capsys.readouterr()
    linear = ["--model-type", "SelfSupervisedPretrained", "--epochs", "1", "--batch-size", "7", "--lr", "0.01"]
    assert run(train, image_folder, *linear, "--pretrained-model-path", str(path)) == 1
    line, = capsys.readouterr().err.splitlines()
    assert "epoch 1 of 2" in line and line.endswith("--resume")
    assert run(train, image_folder, *linear) == 1
    out, error = capsys.readouterr()
    assert "left out, unfinished" in out and "no checkpoint of a finished pre-training" in error


def test_the_newest_pretraining_is_one_of_the_network_asked_for(tmp_path, capsys):
    folder = tmp_path / "checkpoint" / "SelfSupervisedPretraining"
    write(folder, "new", 1, 3, 3, arch="resnet34")
    wanted = write(folder, "old", 2, 3, 3, arch="resnet18")
    args = parse_train(["--model-type", "SelfSupervisedPretrained", "--output-dir", str(tmp_path)])
    assert train.find_pretrained(args, MODEL_TYPES[args.model_type]) == wanted
    args.arch = "resnet50"
    with pytest.raises(FileNotFoundError, match="no checkpoint of a finished pre-training of a resnet50"):
        train.find_pretrained(args, MODEL_TYPES[args.model_type])


def test_the_newest_pretraining_is_one_on_images_that_are_for_this_task(tmp_path, capsys):
    """Not the demo's, which somebody made first."""
    folder = tmp_path / "checkpoint" / "SelfSupervisedPretraining"
    write(folder, "demo", 1, 3, 3, arch="resnet18", data="digits")
    args = parse_train(["--model-type", "SelfSupervisedPretrained", "--data", "folder", "--output-dir", str(tmp_path)])
    with pytest.raises(FileNotFoundError, match=r"of a resnet18 on folder or imagenet below .* \(there: resnet18 on "
                       r"digits\); .*--pretrained-model-path"):
        train.find_pretrained(args, MODEL_TYPES[args.model_type])
    for age, data in (3, "imagenet"), (2, "folder"):
        wanted = write(folder, data, age, 3, 3, arch="resnet18", data=data)
        assert train.find_pretrained(args, MODEL_TYPES[args.model_type]) == wanted


def test_from_scratch_starts_from_no_weights(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_train([*TRAIN, "--pretrained-model-path", "x.pth"])
    assert stop.value.code == 2 and "SupervisedPretrainedFinetune" in capsys.readouterr().err


def test_classes_are_compared_by_name(image_folder, capsys):
    assert test_program.class_order(["a", "c", "b"], ("a", "b", "c"), "x.pth") == [0, 2, 1]
    assert run(train, image_folder, *TRAIN, "--epochs", "1") == 0
    for split in ("train", "test"):
        (image_folder / "data/cifar100" / split / "class2").rename(image_folder / "data/cifar100" / split / "dog")
    capsys.readouterr()
    assert run(test_program, image_folder, "--model-type", "Supervised", "--amp", "off") == 1
    line, = capsys.readouterr().err.splitlines()
    assert "1 of its own (class2)" in line and "1 of these images (dog)" in line


def test_what_is_tested_is_the_epoch_that_validation_chose(image_folder, capsys):
    arguments = [*TRAIN, "--epochs", "4", "--val-ratio", "0.4", "--scheduler", "constant", "--eval-every", "1"]
    assert run(train, image_folder, *arguments) == 0
    with open(next(image_folder.glob("res/*.csv")), newline="") as file:
        best = max(csv.DictReader(file),
                   key=lambda row: (float(row["val_accuracy"]), int(row["epoch"])))  # of equals the last
    capsys.readouterr()
    assert run(test_program, image_folder, "--model-type", "Supervised", "--amp", "off") == 0
    out = capsys.readouterr().out
    assert f"epoch {best['epoch']} of 4, chosen on validation" in out
    assert f"test accuracy {best['test_accuracy']}," in out

    assert run(train, image_folder, *TRAIN, "--epochs", "1", "--val-ratio", "0") == 0
    assert len(list(image_folder.glob(f"checkpoint/*/*/{checkpoint.BEST}"))) == 1, "of the other run"
    capsys.readouterr()
    assert run(test_program, image_folder, "--model-type", "Supervised", "--amp", "off") == 0
    assert "epoch 1 of 1\n" in capsys.readouterr().out


def test_a_run_made_anew_leaves_nothing_of_the_one_before(image_folder, monkeypatch):
    """That could pass for its own: before its first checkpoint there is none."""
    assert run(train, image_folder, *TRAIN, "--epochs", "4") == 0
    folder, = image_folder.glob("checkpoint/*/*")
    assert (folder / checkpoint.BEST).is_file()
    monkeypatch.setattr("training.loop.train_one_epoch", lambda *_, **__: 1 / 0)
    assert run(train, image_folder, *TRAIN, "--epochs", "4", "--overwrite") == 1
    assert not list(folder.glob("*.pth"))
