"""A run goes on with the images and labels that it began with, and with no others."""

import numpy as np
import pytest

import pretrain
import train
from data.datasets import Split, images_digest
from utils import run as run_program

TRAIN = (train, ["--model-type", "Supervised", "--batch-size", "7", "--lr", "0.01", "--val-ratio", "0.2"])
PRETRAIN = (pretrain, ["--model_type", "SelfSupervisedPretraining", "--data", "cifar100", "--sample-ratio", "1",
                       "--batch-size", "8", "--knn-every", "0"])


def run(root, program, arguments, epochs, *more):
    return run_program(program.main, [*arguments, "--epochs", str(epochs), "--amp", "off", "--data-dir",
                                      str(root / "data"), "--output-dir", str(root), *more])


def made(root):
    return {path: path.stat().st_mtime_ns for folder in ("checkpoint", "res") for path in root.glob(f"{folder}/**/*.*")}


def add(folder):
    (folder / "new.png").write_bytes((folder / "0.png").read_bytes())


def relabel(folder):
    (folder / "0.png").rename(folder.parent / "class1" / "moved.png")


@pytest.mark.parametrize("change", [add, relabel])
@pytest.mark.parametrize("case", [TRAIN, PRETRAIN])
def test_other_training_images_are_refused_and_nothing_is_written(image_folder, capsys, case, change):
    assert run(image_folder, *case, 1) == 0
    before = made(image_folder)
    change(image_folder / "data/cifar100/train/class0")
    assert run(image_folder, *case, 2, "--resume") == 1
    error = capsys.readouterr().err.strip()
    assert "images or labels have changed" in error and "\n" not in error
    assert made(image_folder) == before


def test_the_parts_that_differ_are_named(image_folder, capsys):
    assert run(image_folder, *TRAIN, 1) == 0
    (image_folder / "data/cifar100/test/class0/0.png").unlink()
    assert run(image_folder, *TRAIN, 2, "--resume") == 1
    assert "images or labels have changed (of test)" in capsys.readouterr().err


def test_a_digest_knows_images_labels_names_and_order():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    split = Split(images, np.array([0, 0, 1, 1]), ("a", "b"), np.arange(4), np.arange(4), np.full(4, -1))
    others = [split._replace(labels=np.array([0, 1, 1, 1])), split._replace(classes=("a", "c")),
              split._replace(rows=np.array([0, 1, 3, 2])), split._replace(checksums=np.array([0, 1, 2, 4])),
              split._replace(rows=np.arange(3))]
    assert len({images_digest(one) for one in [split, *others]}) == 6
    assert images_digest(split, np.array([1, 2])) == images_digest(split._replace(rows=np.array([1, 2])))
