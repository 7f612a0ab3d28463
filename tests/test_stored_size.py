"""Images are stored at the size that the network sees, by every program."""

import csv

import numpy as np
import pytest
from PIL import Image

import pretrain
import test as test_program
import train
from data.datasets import stored_size
from training.command_line import parse_pretrain
from utils import run as run_program


def test_images_of_any_size_are_stored_as_the_network_sees_them():
    assert [stored_size(name, 224) for name in ("folder", "imagenet", "cifar100", "digits")] == [224, 224, 32, 8]


def test_train_and_test_see_the_same_pictures(tmp_path, capsys):
    """The weights expect 16 px: neither program stores the pictures at another size."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, high in (("dark", 90), ("light", 256)):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for k in range(8):
                Image.fromarray(rng.integers(0, high, (50, 50, 3), dtype=np.uint8)).save(
                    tmp_path / "d" / split / name / f"{k}.png")
    common = ["--data", "folder", "--data-dir", str(tmp_path / "d"), "--output-dir", str(tmp_path), "--amp", "off"]
    assert run_program(pretrain.main, [
        *common, "--model_type", "SupervisedPretraining", "--sample-ratio", "1", "--epochs", "1", "--batch-size", "8",
        "--image-size", "16", "--store-size", "40", "--knn-every", "0"]) == 0
    weights, = tmp_path.glob("checkpoint/SupervisedPretraining/*/last.pth")
    trained = ["--model-type", "SupervisedPretrained"]
    assert run_program(train.main, [*common, *trained, "--epochs", "2", "--batch-size", "4", "--lr", "0.01",
                                    "--val-ratio", "0", "--pretrained-model-path", str(weights)]) == 0
    capsys.readouterr()
    assert run_program(test_program.main, [*common, *trained]) == 0
    log, = tmp_path.glob("res/SupervisedPretrained_*.csv")
    last = list(csv.DictReader(open(log, newline="")))[-1]
    assert f"test accuracy {last['test_accuracy']}, " in capsys.readouterr().out
    stores = {path.name for path in tmp_path.glob("d/store/*")}
    assert stores == {"folder-train-40px", "folder-train-16px", "folder-test-16px"}


def test_a_store_smaller_than_the_views_is_refused(capsys):
    for arguments in (["--image-size", "64", "--store-size", "32"], ["--data", "folder", "--store-size", "64"]):
        with pytest.raises(SystemExit) as end:
            parse_pretrain(arguments)
        assert end.value.code == 2 and "--store-size" in capsys.readouterr().err
    assert parse_pretrain(["--image-size", "64", "--store-size", "64"]).store_size == 64
