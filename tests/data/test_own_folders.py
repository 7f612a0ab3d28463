"""Folders of images in which the programs themselves leave files, or of which nothing can be read."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pretrain
from data.datasets import load_split, open_source
from data.own import check_drawn, find_own, is_split
from data.split_file import read_split
from training.command_line import parse_train
from training.images import open_labelled
from utils import run as run_program


@pytest.fixture
def classes(image_folder):
    """A data folder with train/ and test/ of its own."""
    return image_folder / "data/cifar100"


def spoil(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_of_which_nothing_can_be_read(classes, split):
    spoil(classes / split / "class2")
    with pytest.raises(ValueError, match="not one image of class class2 could be read, see its bad.txt"):
        load_split("folder", split, classes, 8, max_bad_images=99)
    assert len(load_split("folder", "pretrain", classes, 8, max_bad_images=99).rows) == (30 if split == "train" else 40)


def test_nothing_can_be_read_at_all(classes):
    for folder in (classes / "train").iterdir():
        spoil(folder)
    for split in ("train", "pretrain"):
        with pytest.raises(ValueError, match="not one image.* could be read"):
            load_split("folder", split, classes, 8, max_bad_images=99)


@pytest.mark.parametrize("place", ["train", "test/class0", "link"])
def test_a_store_among_the_images_is_refused_and_not_begun(classes, place):
    (classes / "link").symlink_to("test")
    before = sorted(classes.rglob("*"))
    for split in ("train", "pretrain", "test"):
        with pytest.raises(ValueError, match="lies among the images in .*; name a folder outside with --store-dir"):
            load_split("folder", split, classes, 8, store_dir=classes / place)
    assert sorted(classes.rglob("*")) == before


def test_a_file_in_place_of_the_data_folder(classes):
    file = classes / "train/class0/0.png"
    for name in ("folder", "imagenet", "cifar100"):
        with pytest.raises(OSError, match="0.png: a file; --data-dir names the folder"):
            load_split(name, "train", file, 8)


def test_a_pile_that_holds_stores_and_results(classes):
    """Figures of runs are not pre-trained on."""
    pile = classes.parent / "pile"
    shutil.copytree(classes / "train", pile / "all")
    arguments = ["--data", "folder", "--sample-ratio", "1", "--epochs", "1", "--image-size", "8", "--batch-size", "20"]
    places = ["--data-dir", str(pile), "--output-dir", str(pile), "--store-dir", str(pile)]
    assert run_program(pretrain.main, [*arguments, *places]) == 0
    for place in ("runs/SelfSupervisedPretraining/sprite.png", "res/report/figure.png"):
        (pile / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(pile / place)
    assert len(load_split("folder", "pretrain", pile, 8).rows) == 40
    assert len(load_split("folder", "pretrain", pile, 9, store_dir=pile).rows) == 40


def test_blanks_around_a_class_are_no_part_of_its_label(classes):
    """The part that draws the split and those that read it number the classes alike."""
    root = (classes / "train").rename(classes.parent / "own")
    (root / "class3").rename(root / " class3 ")
    found = [load_split("folder", part, root, 8) for part in ("train", "test", "train")]
    assert [split.classes for split in found] == [("class0", "class1", "class2", "class3")] * 3
    assert [split.labels.tolist() for split in found] == [found[0].labels.tolist()] * 3
    assert set(read_split(root / "store/split.csv", root).labels) == set(found[0].classes)


@pytest.mark.parametrize("name, said", [("class0 ", "looks like that of 'class0'"), ("  ", "is empty")])
def test_class_folders_that_blanks_alone_tell_apart(classes, name, said):
    root = (classes / "train").rename(classes.parent / "own")
    (root / "class3").rename(root / name)
    with pytest.raises(ValueError, match=f"own: the name of the class folder '{name}', without .*{said}; rename it$"):
        load_split("folder", "train", root, 8)
    assert not (root / "store").exists()


@pytest.mark.parametrize("title, values, refused", [
    ("split", "train test", True), ("Set", "TRAIN Validation Test", True), ("fold", "train", True),
    ("subset", "train  test", True), ("split", "training testing", True), ("use", "train holdout unused", True),
    ("subset", "a b", True), ("is_test", "0 1", True), ("is_valid", "True False", True), ("train", "0 1", True),
    ("is_training_image", "0 1", True), ("IsTrain", "0 1", True), ("Usage", "Training PublicTest PrivateTest", True),
    ("validation_set", "0 1", True), ("phase", "TRN DEV TST", True), ("dataset", "train_set test_set", True),
    ("activity", "training testing cooking eating running", False),
    ("fold", "1 2 3", False), ("source", "train station", False), ("is_old", "0 1", False), ("island", "0 1", False)])
def test_parts_under_another_name_are_not_ignored(classes, title, values, refused):
    """Else a new split would train on what its author tests on."""
    files, values = sorted((classes / "train").rglob("*.png")), values.split(" ")
    lines = [f"{path},{path.parent.name},{values[k % len(values)]}" for k, path in enumerate(files)]
    given = classes / "mine.csv"
    given.write_text("\n".join([f"file,label,{title}", *lines]))
    if refused:
        with pytest.raises(ValueError, match=f"mine.csv: the column {title} seems to say .*; call it part"):
            read_split(given, classes)
    else:
        assert read_split(given, classes).parts is None


@pytest.mark.parametrize("title, values, parts, said", [
    ("patient", "a b c", "", ValueError), ("Subject ID", "a b c", "", ValueError),
    ("patient", "a b c", "train train test test", ValueError),
    ("patient_id", "a b c", "train val test test", "of 3 values of the column patient_id, 3 are in several parts, "
                                                     "the first of them a: what is tested may be known"),
    ("patient", "a a b c", "train train test val", ""), ("patient", "", "", ""), ("colour", "a b c", "", "")])
def test_pictures_that_belong_together_are_not_torn_in_silence(classes, capsys, title, values, parts, said):
    """patient "": a patient a picture. Without the part val it is drawn of the training part."""
    files, values, parts = sorted((classes / "train").rglob("*.png")), values.split(), parts.split()
    lines = [f"{path},{path.parent.name},{values[k % len(values)] if values else k}"
             + (f",{parts[k % len(parts)]}" if parts else "") for k, path in enumerate(files)]
    given = classes / "mine.csv"
    given.write_text("\n".join([f"file,label,{title}" + ",part" * bool(parts), *lines]))
    if said is ValueError:
        with pytest.raises(ValueError, match=f"mine.csv: parts would be drawn .* of one {title} come into several"):
            read_split(given, classes)
        return
    load_split("folder", "train", classes, 8, given=given)
    shown = [line for line in capsys.readouterr().out.splitlines() if " column " in line]
    assert len(shown) == bool(said) and all(re.search(f"mine.csv: {said}", line) for line in shown)


@pytest.mark.parametrize("title", ["file", "label", "part"])
def test_of_two_columns_of_a_name_none_is_preferred(classes, title):
    given = classes / "mine.csv"
    given.write_text(f"file,label,part,{title.upper()}\na.png,cat,train,x\n")
    with pytest.raises(ValueError, match=f"mine.csv: has several columns {title}; take out"):
        read_split(given, classes)


@pytest.fixture
def three(classes):
    """train/, val/ and test/, the middle one of two pictures a class."""
    for name in ("class0", "class1", "class2", "class3"):
        for k, path in enumerate(sorted((classes / "train" / name).glob("*.png"))[:2]):
            (classes / "val" / name).mkdir(parents=True, exist_ok=True)
            path.rename(classes / "val" / name / f"{k}.png")
    return classes


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_three_folders_are_three_parts(three, name):
    """What is in val/ is chosen on, and neither trained nor pre-trained on."""
    (three / "val").rename(three / name)
    train, test, pretrain = (load_split("folder", part, three, 8) for part in ("train", "test", "pretrain"))
    source = open_source("folder", "train", three)

    def places(rows):
        return {Path(source.name(row)).relative_to(three).parts[0] for row in rows}

    assert places(train.val) == {name} and len(train.val) == 8
    assert places(np.setdiff1d(train.rows, train.val)) == places(pretrain.rows) == {"train"}
    assert places(test.rows) == {"test"} and len(train.rows) - 8 == len(pretrain.rows)
    assert is_split(three, three / "store") and not (three / "store/split.csv").exists()
    check_drawn(three)
    with pytest.raises(SystemExit):
        parse_train(["--model-type", "Supervised", "--data", "folder", "--data-dir", str(three), "--val-ratio", "0.2"])


@pytest.mark.parametrize("change", [
    lambda root: [path.rename(root / "test" / path.name) for path in sorted((root / "test").rglob("*.png"))[:1]]
    and [shutil.rmtree(folder) for folder in (root / "test").iterdir() if folder.is_dir()],  # flat
    lambda root: shutil.rmtree(root / "val") or (root / "val").mkdir(),  # empty
    lambda root: (root / "val/class0").rename(root / "val/images"), lambda root: (root / "val").rename(root / "dev"),
    lambda root: shutil.copytree(root / "val", root / "validation")], ids=["flat", "empty", "others", "dev", "two"])
def test_other_layouts_are_no_split(three, change):
    """They are pre-trained on as before; labelled training holds out of train/."""
    change(three)
    assert not is_split(three, three / "store") and find_own(three, three / "store") is None
    assert len(load_split("folder", "pretrain", three, 8).rows) == len(list((three / "train").rglob("*.png")))


def test_a_folder_that_is_not_read_is_named(three, capsys):
    (three / "val/class0").rename(three / "val/other")
    words = ["--model-type", "Supervised", "--data", "folder", "--data-dir", str(three), "--image-size", "8"]
    open_labelled(parse_train(words), 8)
    assert f"{three / 'val'}: not read; it is chosen on where" in capsys.readouterr().out


def test_three_folders_share_a_store_that_grows(three, capsys):
    load_split("folder", "train", three, 8)
    Image.new("RGB", (8, 8)).save(three / "train/class1/more.png")
    (three / "train/class0/notes.txt").touch()
    capsys.readouterr()
    load_split("folder", "train", three, 8)
    said = capsys.readouterr().out
    assert "decoded 1 of 1 images" in said and "1 file is no image and left out" in said
    with pytest.raises(ValueError, match="lies among the images in .*/val; name a folder outside with --store-dir"):
        load_split("folder", "train", three, 8, store_dir=three / "val/s")


def test_names_that_look_the_same(classes, capsys):
    """A Mac writes an umlaut as two signs (NFD), other systems as one (NFC)."""
    one, other = "b\u00e4r", "ba\u0308r"
    (classes / "train/class0").rename(classes / "train" / one)
    (classes / "test/class0").rename(classes / "test" / other)
    train, test = (load_split("folder", part, classes, 8) for part in ("train", "test"))
    assert train.classes == test.classes and set(test.labels) == set(train.labels)
    files = sorted((classes / "train").rglob("*.png"))
    given = classes / "mine.csv"
    given.write_text("file,label\n" + "".join(f"{path},{(one, other, 'cat', 'Cat')[k % 4]}\n"
                                               for k, path in enumerate(files)), encoding="utf-8")
    assert set(read_split(given, classes).labels) == {one, "cat", "Cat"}
    load_split("folder", "train", classes, 8, given=given)
    assert "differ in case alone: Cat and cat" in capsys.readouterr().out
    (classes / "train/class1").rename(classes / "train" / other)
    with pytest.raises(ValueError, match="the names of two class folders look the same"):
        load_split("folder", "train", classes, 8)
