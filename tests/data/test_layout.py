"""Where splits lie: found in any case, never mixed up, and wrong levels told in one line."""

import numpy as np
import pytest
from PIL import Image

import pretrain
from data.datasets import load_split
from data.layout import split_folder
from utils import run


def fill(root, *folders, count=2):
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Image.fromarray(np.full((8, 8, 3), 10 * number + k, dtype=np.uint8)).save(root / folder / f"{k}.png")
    return root


def load(root, split="pretrain", **options):
    return load_split("folder", split, root, 8, workers=1, **options)


def refusal(root, split="pretrain", **options):
    with pytest.raises((ValueError, OSError)) as error:
        load(root, split, **options)
    assert len(str(error.value).splitlines()) == 1
    assert not (root / "store").exists() or not list((root / "store").glob("*/images.npy"))
    return str(error.value)


@pytest.mark.parametrize("train, test", [("Train", "Test"), ("TRAIN", "TEST"), ("train", "Test")])
def test_splits_are_found_in_any_case(tmp_path, train, test):
    fill(tmp_path, f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b")
    assert len(load(tmp_path).rows) == 4 and load(tmp_path).labels.tolist() == [0, 0, 1, 1]
    assert len(load(tmp_path, "train").rows) == 4
    assert load(tmp_path, "test").images[:, 0, 0, 0].tolist() == [20, 21, 30, 31]


def test_splits_of_any_dataset_are_found_in_any_case(tmp_path):
    fill(tmp_path, "cifar10/Train/a", "cifar10/Train/b", "cifar10/Test/a")
    assert len(load_split("cifar10", "train", tmp_path, 8, workers=1).rows) == 4
    assert load_split("cifar10", "test", tmp_path, 8, workers=1).classes == ("a", "b")


@pytest.mark.parametrize("split", ["pretrain", "train", "test"])
def test_two_folders_that_fit_are_refused(tmp_path, split):
    fill(tmp_path, "train/a", "train/b", "Train/a", "test/a")
    assert "its folders Train and train could both be the train images" in refusal(tmp_path, split)


@pytest.mark.parametrize("name", [
    "test", "Test", "TESTING", "tests", "val", "Valid", "validation", "test_images", "images-test", "TestSet",
    "val2017",
    "Test Images", "eval", "holdout"])
def test_test_images_are_never_pre_trained_on_by_accident(tmp_path, name):
    fill(tmp_path, "pile", f"{name}/a")
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / name}: looks like a test or validation split")
    assert f"rename the folder of the training images {tmp_path / 'train'}" in message


def test_test_images_further_below_are_refused_too(tmp_path):
    fill(tmp_path, "pets/train/a", "pets/train/b", "pets/test/a")
    assert refusal(tmp_path).endswith(f"use --data-dir {tmp_path / 'pets'}")
    assert len(load(tmp_path / "pets").rows) == 4


def test_the_training_images_under_another_name_are_pointed_to(tmp_path):
    fill(tmp_path, "training/a", "training/b", "testing/a")
    assert "(is it training?)" in refusal(tmp_path)
    assert "(is it training?)" in refusal(tmp_path, "train")
    (tmp_path / "training").rename(tmp_path / "train")
    assert "(is it testing?)" in refusal(tmp_path, "test")


def test_splits_in_place_of_classes_are_refused(tmp_path):
    fill(tmp_path, "train/Train/a", "train/Train/b", "train/val/a")
    for split in ("pretrain", "train"):
        assert f"use --data-dir {tmp_path / 'train'}" in refusal(tmp_path, split)


def test_splits_within_classes_are_refused(tmp_path):
    fill(tmp_path, "train/a/train", "train/a/test", "train/b/train")
    for split in ("pretrain", "train"):
        assert refusal(tmp_path, split).startswith(f"{tmp_path / 'train/a/test'}: looks like a test")


@pytest.mark.parametrize("name",
                         ["contest", "valley", "driving test", "latest", "retrieval", "testimony", "a/b/protest"])
def test_names_that_only_sound_like_a_split(tmp_path, name):
    fill(tmp_path, f"all/{name}", "all/pile")
    assert len(load(tmp_path).rows) == 4


def test_a_class_may_be_called_test(tmp_path):
    fill(tmp_path, "train/test", "train/quiz")
    assert load(tmp_path, "train").classes == ("quiz", "test")


def test_a_pile_is_taken_whole_and_grows(tmp_path):
    fill(tmp_path, "all/x/y", "all/z")
    assert len(load(tmp_path).rows) == 4 and not load(tmp_path).labelled
    fill(tmp_path, "all/x/w")
    assert len(load(tmp_path).rows) == 6
    fill(tmp_path, "Test/a")
    assert "looks like a test" in refused_with_a_store(tmp_path)


def refused_with_a_store(root):
    with pytest.raises(ValueError) as error:
        load(root)
    return str(error.value)


def test_stores_of_a_pile_are_no_pictures_of_it(tmp_path, capsys):
    fill(tmp_path, ".", "store/shelf")
    for size in (8, 16, 8):
        assert len(load_split("folder", "pretrain", tmp_path, size, workers=1).rows) == 4
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize("directory, wanted", [("pets/train", "pets"), (".", "pets"), ("pets/Train", "pets")])
def test_a_level_too_deep_or_too_high(tmp_path, directory, wanted):
    train = "Train" if "Train" in directory else "train"
    fill(tmp_path, f"pets/{train}/a", f"pets/{train}/b", "pets/test/a")
    message = refusal(tmp_path / directory, "train")
    assert message.startswith("no labels in ") and message.endswith(f"use --data-dir {tmp_path / wanted}")


def test_without_any_labels(tmp_path):
    fill(tmp_path, ".", "a")
    message = refusal(tmp_path, "train")
    assert f"expected two <class>/* folders or more, or {tmp_path / 'train'}/<class>/*; put the training" in message
    assert len(load(tmp_path).rows) == 4


def test_pre_training_with_labels_asks_for_them(tmp_path, capsys):
    fill(tmp_path, "pets/train/a", "pets/train/b")
    arguments = ["--data", "folder", "--data-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]
    assert run(pretrain.main, ["--model_type", "SupervisedPretraining", *arguments]) == 1
    assert f"use --data-dir {tmp_path / 'pets'}" in capsys.readouterr().err


def test_one_class_only(tmp_path):
    fill(tmp_path, "train/images/cats", "train/images/dogs", "train/images/owls", "test/cats")
    message = refusal(tmp_path, "train")
    assert message.startswith(f"{tmp_path / 'train'}: one class only, images, ")
    assert f"move these folders from {tmp_path / 'train/images'} up into {tmp_path / 'train'}" in message
    assert len(load(tmp_path).rows) == 6, "without labels one folder is no mistake"
    assert refused_with_labels(tmp_path) == message


def refused_with_labels(root):
    with pytest.raises(ValueError) as error:
        load(root, labels=True)
    return str(error.value)


@pytest.mark.parametrize("inner, wanted", [("train/train", "train"), ("train/pets/train", "train/pets")])
def test_one_class_that_is_a_dataset(tmp_path, inner, wanted):
    fill(tmp_path, f"{inner}/a", f"{inner}/b")
    assert refusal(tmp_path, "train").endswith(f"use --data-dir {tmp_path / wanted}")


def test_one_class_and_no_other_level(tmp_path):
    fill(tmp_path, "train/a")
    assert refusal(tmp_path, "train").endswith("add a folder for every other class")


def test_test_images_without_training_images(tmp_path):
    fill(tmp_path, "test/a")
    assert refusal(tmp_path, "test").startswith(f"no images of folder: expected {tmp_path / 'train'}/<class>/*")


def test_a_split_is_a_folder(tmp_path):
    (tmp_path / "train").touch()
    assert split_folder(tmp_path, "train") is None and split_folder(tmp_path / "missing", "train") is None
