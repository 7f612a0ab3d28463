"""Pictures that a network has learned from are not among those it is judged by, or that is said and can be refused."""

import shutil

import pytest
import yaml

import pretrain
import test as test_program
import train
from tests.common import run

pytestmark = pytest.mark.usefixtures("narrow")
PRETRAIN = ["--epochs", "1", "--sample-ratio", "1", "--batch-size", "8", "--image-size", "32", "--knn-every", "0",
            "--amp", "off"]
TRAIN = ["--model-type", "SelfSupervisedPretrained", "--epochs", "1", "--batch-size", "7", "--lr", "0.01",
         "--amp", "off",
         "--val-ratio", "0.2"]


def copies_of(root):
    """What the YAML of the last training says."""
    path = max((root / "out/res").glob("SelfSupervisedPretrained_*.yml"), key=lambda path: path.stat().st_mtime_ns)
    return yaml.safe_load(path.read_text())["duplicates"]


def put(root, source, *places):
    for place in places:
        shutil.copy(root / "data" / source, root / "data" / place)


def test_a_dataset_without_copies_says_nothing(image_folder, capsys):
    assert run(pretrain, image_folder, *PRETRAIN) == 0 == run(train, image_folder, *TRAIN)
    assert copies_of(image_folder) == {"train/val": 0, "train/test": 0, "pretraining/val": 0, "pretraining/test": 0,
                                       "labels": 0}
    assert "duplicates" not in capsys.readouterr().out


def test_copies_of_a_foreign_pretraining_are_counted_whatever_their_size(image_folder, capsys):
    """imagenet is stored at 32 px here, as cifar100 is, from files of 40 and 32 px; at 24 px the files alone tell."""
    put(image_folder, "cifar100/test/class0/0.png", "imagenet/train/class1/copy.png", "cifar100/train/class2/copy.png")
    assert run(pretrain, image_folder, *PRETRAIN, "--image-size", "24") == 0
    assert run(train, image_folder, *TRAIN) == 0
    found, out = copies_of(image_folder), capsys.readouterr().out
    assert found["pretraining/test"] == 1 and found["pretraining/val"] <= 1 and found["train/test"] <= 1
    assert "duplicates: 1 of 12 images of the test are exact copies of pre-training images" in out
    assert run(train, image_folder, *TRAIN, "--max-duplicates", "0", "--overwrite") == 1
    line, = capsys.readouterr().err.splitlines()
    assert "more than --max-duplicates 0" in line


def test_what_is_held_out_has_not_been_pre_trained_on(image_folder, capsys):
    same = [*PRETRAIN, "--data", "cifar100"]
    assert run(pretrain, image_folder, *same, "--val-ratio", "0.2") == 0
    assert run(train, image_folder, *TRAIN) == 0
    assert copies_of(image_folder)["pretraining/val"] == 0
    assert run(train, image_folder, *TRAIN, "--val-seed", "1") == 1
    line, = capsys.readouterr().err.splitlines()
    assert "images held out to choose on have been pre-trained on" in line and "--val-seed" in line
    assert run(train, image_folder, *TRAIN, "--val-seed", "1", "--max-duplicates", "40") == 0
    assert copies_of(image_folder)["pretraining/val"] > 0


def test_what_weights_were_made_from_is_passed_on(image_folder, capsys):
    """Through a fine-tuned network to the one that starts from it; of others' weights nothing is known."""
    put(image_folder, "cifar100/test/class0/0.png", "imagenet/train/class1/copy.png")
    assert run(pretrain, image_folder, *PRETRAIN) == 0
    tuned = [*TRAIN[2:], "--model-type", "SelfSupervisedPretrainedFinetune"]
    assert run(train, image_folder, *tuned) == 0
    path, = image_folder.glob("out/checkpoint/SelfSupervisedPretrainedFinetune/*/last.pth")
    linear = ["--model-type", "SupervisedPretrained", *TRAIN[2:], "--pretrained-model-path", path,
              "--max-duplicates", "99"]
    assert run(train, image_folder, *linear) == 0
    log, = image_folder.glob("out/res/SupervisedPretrained_*.yml")
    found = yaml.safe_load(log.read_text())["duplicates"]
    assert found["pretraining/test"] == 1 and found["pretraining/val"] == 0

    import torch
    from records import checkpoint
    torch.save(checkpoint.read(path)["model"], image_folder / "plain.pth")
    theirs = [*linear, "--pretrained-model-path", image_folder / "plain.pth", "--output-dir", image_folder / "theirs"]
    capsys.readouterr()
    assert run(train, image_folder, *theirs, output="theirs") == 0
    assert "is not known: " in capsys.readouterr().out
    log, = image_folder.glob("theirs/res/SupervisedPretrained_*.yml")
    assert yaml.safe_load(log.read_text())["duplicates"]["pretraining/test"] is None


def test_a_picture_with_two_labels_is_told(image_folder, capsys):
    """In the training images, and between them and the test."""
    put(image_folder, "cifar100/train/class0/0.png", "cifar100/train/class1/copy.png", "cifar100/test/class2/copy.png",
        "cifar100/train/class0/same.png")
    scratch = ["--model-type", "Supervised", *TRAIN[2:]]
    assert run(train, image_folder, *scratch) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "another label" in line]
    assert said == ["duplicates: 4 labelled images are exact copies of one with another label, among the classes "
                    "class0, class1, class2: no network can be right on both"]
    log, = image_folder.glob("out/res/Supervised_*.yml")
    assert yaml.safe_load(log.read_text())["duplicates"]["labels"] == 4


def test_what_cannot_be_compared_is_not_known_and_told(image_folder, capsys, monkeypatch):
    """As stores of earlier versions have it of ImageNet's tar: no file is known, and another size has other pixels."""
    with monkeypatch.context() as patch:
        patch.setattr("data.store_files.fingerprints", lambda keys: keys[:, 0] * 0 - 1)
        assert run(pretrain, image_folder, *PRETRAIN, "--image-size", "24") == 0
    assert run(train, image_folder, *TRAIN) == 0
    assert copies_of(image_folder) == {"train/val": 0, "train/test": 0, "pretraining/val": None,
                                       "pretraining/test": None, "labels": 0}
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("duplicates")]
    assert len(said) == 1
    assert "whether images of validation and the test are among the pre-training images is not known" in said[0]
    assert run(test_program, image_folder, *TRAIN[:2], "--data", "cifar100") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("duplicates")]
    assert len(said) == 1 and "that the network has learned from is not known" in said[0]
