"""What a run took each test image for: of the chosen epoch, through kills, resumes and new beginnings."""

import numpy as np
import pytest

import train
import utils
from records import checkpoint, results
from records.predictions import Unfit, read_correct, write_labels, write_predictions
from tests.common import cut_off, rows_of, run

TRAIN = ["--model-type", "Supervised", "--data", "digits", "--batch-size", "16", "--lr", "0.01", "--amp", "off",
         "--label-ratio", "0.5"]
pytestmark = pytest.mark.usefixtures("narrow")


def only(root, pattern):
    path, = root.glob(pattern)
    return path


def correct_of(root):
    """Which test images the only run below a folder recognised, and its chosen row."""
    csv = only(root, "out/res/*.csv")
    config = results.read_config(csv.with_suffix(".yml"))
    row = results.choose_epoch(results.read_rows(csv, pretraining=False)[0])
    return read_correct(csv, config, row["test_accuracy"]), row


@pytest.mark.parametrize("val_ratio", ["0.5", "0"])
def test_they_are_those_of_the_epoch_that_validation_chose(tmp_path, val_ratio):
    words = [*TRAIN, "--val-ratio", val_ratio, "--scheduler", "constant", "--lr", "0.1", "--epochs", "6",
             "--eval-every", "1"]
    assert run(train, tmp_path, *words) == 0
    correct, row = correct_of(tmp_path)
    assert correct.mean() == row["test_accuracy"]
    accuracies = {each["test_accuracy"] for each in rows_of(only(tmp_path, "out/res/*.csv"))}
    assert len(accuracies) > 1, "all epochs alike: nothing is tested"
    if val_ratio != "0":
        assert checkpoint.read(only(tmp_path, "out/checkpoint/*/*/best.pth"))["epoch"] == row["epoch"]


def test_a_run_that_is_cut_off_and_goes_on_leaves_the_same(tmp_path, monkeypatch):
    words = [*TRAIN, "--val-ratio", "0.5", "--epochs", "5", "--eval-every", "1"]
    assert run(train, tmp_path / "whole", *words) == 0
    for epochs, more in ((1, []), (3, ["--resume"])):
        cut_off(monkeypatch, epochs, train, tmp_path / "cut", *words, *more)
        correct_of(tmp_path / "cut")  # agrees with the CSV at any time
    assert run(train, tmp_path / "cut", *words, "--resume") == 0
    left = [only(tmp_path / name, "out/res/*.predictions.npy").read_bytes() for name in ("whole", "cut")]
    assert left[0] == left[1]


def test_a_new_beginning_takes_the_old_ones_away(tmp_path, monkeypatch):
    words = [*TRAIN, "--val-ratio", "0.5", "--epochs", "2"]
    assert run(train, tmp_path, *words) == 0
    with monkeypatch.context() as patch:
        def fail(*_, **__):
            raise OSError("a full disk")
        patch.setattr("training.loop.train_one_epoch", fail)
        assert run(train, tmp_path, *words, "--overwrite") == 1
    assert not list(tmp_path.glob("out/res/*.predictions.npy")) and list(tmp_path.glob("out/res/*.csv"))


def test_the_same_pictures_at_another_size_are_the_same_test(image_folder):
    words = ["--model-type", "Supervised", "--data", "folder", "--epochs", "1", "--batch-size", "8", "--lr", "0.01"]
    found = {}
    for size in ("16", "24"):
        where = ["--data-dir", str(image_folder / "data/cifar100"), "--output-dir", str(image_folder / size)]
        assert utils.run(train.main, [*words, "--image-size", size, *where]) == 0
        csv = only(image_folder, f"{size}/res/*.csv")
        config = results.read_config(csv.with_suffix(".yml"))
        found[size] = config["data"]["test"], config["test_files"]
    assert found["16"][0] != found["24"][0] and found["16"][1] == found["24"][1]


@pytest.mark.parametrize("classes, kind", [(1, "u1"), (256, "u1"), (257, "u2"), (70000, "u4")])
def test_the_type_holds_every_class_and_no_more(tmp_path, classes, kind):
    write_predictions(tmp_path / "a lr0.1.csv", [classes - 1, 0], classes)
    found = np.load(tmp_path / "a lr0.1.predictions.npy")
    assert found.dtype == np.dtype(kind) and found.tolist() == [classes - 1, 0]


def test_what_does_not_fit_is_told(tmp_path):
    csv, config = tmp_path / "run.csv", {"data": {"test": "abc"}}
    write_labels(csv, "abc", [0, 1, 2, 0], 3)
    with pytest.raises(Unfit, match="no predictions"):
        read_correct(csv, config, 0.5)
    write_predictions(csv, [0, 1, 0, 1], 3)
    assert read_correct(csv, config, 0.5).tolist() == [True, True, False, False]
    with pytest.raises(Unfit, match="not of the epoch"):
        read_correct(csv, config, 0.75)
    with pytest.raises(Unfit, match="does not tell"):
        read_correct(csv, {"data": {"test": "../abc"}}, 0.5)
    with pytest.raises(Unfit, match="damaged or missing"):
        read_correct(csv, {"data": {"test": "abd"}}, 0.5)
    path = tmp_path / "run.predictions.npy"
    whole = path.read_bytes()
    for bad in (b"", b"PK\x03\x04", whole[:-1], whole.replace(b"(4,)", b"(9,)"), whole.replace(b"|u1", b"|O ")):
        path.write_bytes(bad)
        with pytest.raises(Unfit, match="damaged or missing"):
            read_correct(csv, config, 0.5)
