"""Own images without train/ and test/: split once, class by class, and by a CSV ever after."""

import csv
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from data.datasets import images_digest, load_split, open_source
from data.own import find_own, stores_of
from data.sampling import draw_parts
from data.split_file import differing, read_split
from data.unlabelled import joined, load_unlabelled


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def pets(tmp_path):
    """Three classes of ten pictures, some of them deeper."""
    for label, name in enumerate(("ant", "bee", "cat")):
        for k in range(10):
            paint(tmp_path / "pets" / name / ("deep/er" if k % 3 else "") / f"{k}.png", 100 * label + k)
    return tmp_path / "pets"


def load(root, part, **options):
    return load_split("folder", part, root, 8, workers=1, **options)


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: (row["label"], row["part"]) for row in csv.DictReader(file)}


def rows(path, *lines, header="file,label,part"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def whole(root):
    """The split that the program draws, as lines."""
    load(root, "train")
    return (root / "store/split.csv").read_text().splitlines()[1:]


def names(root, part, given=None):
    """Files of a part."""
    split, source = load(root, part, given=given), open_source("folder", part, root, given=given)
    return {os.path.relpath(source.name(row), root) for row in split.rows}


def test_each_picture_is_in_one_part_and_the_csv_says_which(pets, capsys):
    train, test, pretrain = (load(pets, part) for part in ("train", "test", "pretrain"))
    assert "split drawn of 30 pictures of 3 classes: 21 train, 3 val, 6 test" in capsys.readouterr().out
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert sorted([*train.rows, *test.rows]) == list(range(30)) and set(train.val) < set(train.rows)
    assert sorted(pretrain.rows) == sorted(set(train.rows) - set(train.val)) and pretrain.val is None
    said = table(pets / "store/split.csv")
    assert list(said) == sorted(said) and all(label == file.split("/")[0] for file, (label, _) in said.items())
    assert {file for file, (_, part) in said.items() if part == "test"} == names(pets, "test")
    for label in range(3):
        counts = [np.sum(split.labels[found] == label) for split, found in
                  ((pretrain, pretrain.rows), (train, train.val), (test, test.rows))]
        assert counts == [7, 1, 2]


def test_it_is_read_rather_than_drawn_again(pets):
    before, stored = whole(pets), (pets / "store/split.csv").stat().st_mtime_ns
    new = paint(pets / "ant" / "new.png", 999)
    assert whole(pets) == before and (pets / "store/split.csv").stat().st_mtime_ns == stored
    assert "ant/new.png" not in names(pets, "train") | names(pets, "test")
    own = find_own(pets, stores_of(pets))
    assert "does not list 1 of the pictures in" in own.unlisted(stores_of(pets))
    assert "the first is ant/new.png;" in own.unlisted(stores_of(pets))
    with open(pets / "store/split.csv", "a") as file:
        file.write("ant/new.png,ant,train\n")
    assert "ant/new.png" in names(pets, "pretrain") and not find_own(pets, stores_of(pets)).unlisted(stores_of(pets))
    new.unlink()
    with pytest.raises(FileNotFoundError, match="split.csv, line 32: there is no file ant/new.png.*take its row out"):
        load(pets, "test")


def test_an_edit_is_what_counts(pets):
    lines, digest = whole(pets), images_digest(load(pets, "test"))
    where = next(k for k, line in enumerate(lines) if line.endswith("train"))
    rows(pets / "store/split.csv", *lines[:where], lines[where].replace("train", "test"), *lines[where + 1:])
    assert lines[where].split(",")[0] in names(pets, "test") and images_digest(load(pets, "test")) != digest


def test_an_edit_that_leaves_no_validation_is_refused(pets):
    lines = whole(pets)
    path = rows(pets / "store/split.csv", *[line.replace(",val", ",train") for line in lines])
    for given in (None, path):
        with pytest.raises(ValueError, match="split.csv: no picture has the part val, nothing to choose on; give some"):
            load(pets, "train", given=given)


def test_the_same_split_from_another_place_is_the_same(pets, tmp_path):
    lines = whole(pets)
    known = [images_digest(load(pets, part)) for part in ("train", "test", "pretrain")]
    beside = rows(pets.parent / "mine.csv", *[f"pets/{line}" for line in reversed(lines)])
    absolute = rows(tmp_path / "any.csv", *[f"{pets}/{line}" for line in lines], header="PATH, label,Part")
    spelled = rows(tmp_path / "to.csv", *[line.replace(",val", ", Validation ") for line in lines])
    for given in (beside, absolute, spelled):
        assert [images_digest(load(pets, part, given=given)) for part in ("train", "test", "pretrain")] == known
    assert len(list(pets.glob("store/folder-*"))) == 2, "lists of the same files share a store"
    moved = shutil.copytree(pets, tmp_path / "moved")
    assert [images_digest(load(moved, part)) for part in ("train", "test", "pretrain")] == known


@pytest.mark.parametrize("how", ["file", "pixels", "other class"])
def test_copies_of_a_picture_go_to_one_part(pets, how):
    for k in range(10):
        original, = pets.rglob(f"bee/**/{k}.png")
        if how == "pixels":
            Image.open(original).save(pets / "bee" / f"copy{k}.bmp")
        else:
            shutil.copy(original, pets / ("ant" if how == "other class" else "bee") / f"copy{k}.png")
    load(pets, "train")
    said = table(pets / "store/split.csv")
    for k in range(10):
        assert len({part for file, (_, part) in said.items() if f"copy{k}." in file or file.startswith("bee/")
                    and file.endswith(f"/{k}.png")}) == 1
    assert {part for _, part in said.values()} == {"train", "val", "test"}


@pytest.mark.parametrize("count, expected", [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (4, [2, 1, 1]),
                                             (10, [7, 1, 2]), (60, [42, 6, 12])])
def test_a_class_keeps_one_to_train_then_to_test_then_to_choose_on(count, expected):
    parts = draw_parts(np.repeat([0, 1], [count, 50]), np.arange(count + 50), 0.1, 0.2)
    assert np.bincount(parts[:count], minlength=3).tolist() == expected
    assert np.bincount(parts[count:]).tolist() == [35, 5, 10]


def test_classes_with_too_few_are_named(pets, capsys):
    paint(pets / "eel/0.png", 500)
    for k in range(2):
        paint(pets / "dog" / f"{k}.png", 510 + k)
    assert "eel" in load(pets, "train").classes
    out = capsys.readouterr().out
    assert "too few different pictures of 1 classes to test on some: eel" in out
    assert "too few different pictures of 2 classes to choose on some: dog, eel" in out


def test_too_few_pictures_for_any_split(tmp_path):
    for name in "ab":
        for k in range(2):
            paint(tmp_path / name / f"{k}.png", k)
    with pytest.raises(ValueError, match="4 pictures of 2 classes are too few for a split.*unlabelled"):
        load(tmp_path, "pretrain")
    assert not (tmp_path / "store/split.csv").exists()


@pytest.mark.parametrize("header, change, message", [
    ("picture,label", None, "has the columns picture, label; expected file, label and"),
    ("file,class,part", None, "has the columns file, class, part; expected file, label and"),
    ("", None, "has the columns none; expected"),
    (None, lambda lines: [*lines, "ant/no.png,ant,train"], "line 32: there is no file ant/no.png, neither in"),
    (None, lambda lines: [*lines[1:], lines[0].rsplit(",", 1)[0] + ",dev"], "unknown part dev; expected one of train"),
    (None, lambda lines: [*lines[1:], lines[0].rsplit(",", 1)[0]], "line 31: no part; expected"),
    (None, lambda lines: [*lines[1:], f"{lines[0].split(',')[0]},,train"], "line 31: no label for ant/"),
    (None, lambda lines: [*lines[1:], ",ant,train"], "line 31: no file"),
    (None, lambda lines: [*lines, lines[0].rsplit(",", 1)[0] + ",test"], "stands there a second time"),
    (None, lambda lines: [*lines[1:], f"{lines[0].split(',')[0]},gnu,test"],
     "a picture of the part test has the label gnu"),
    (None, lambda lines: [line for line in lines if "test" not in line],
     "no picture has the part test, nothing to test on"),
    (None, lambda lines: [line for line in lines if "train" not in line], "no picture has the part train"),
    (None, lambda lines: [], "lists no pictures"),
    (None, lambda lines: [line for line in lines if ",ant," in line], "one label only, ant"),
])
def test_wrong_lists_are_refused_in_one_line(pets, tmp_path, header, change, message):
    lines = [line.replace("ant/0.png,ant,val", "ant/0.png,ant,train") for line in whole(pets)]
    lines = lines if change is None else change(lines)
    path = rows(tmp_path / "mine.csv", *lines, header="file,label,part" if header is None else header)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load(pets, "train", given=path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_in_two_parts_is_told_with_both(pets, tmp_path):
    path = rows(tmp_path / "mine.csv", "ant/0.png,ant,train", "bee/0.png,bee,test", "./ant/0.png,ant,test")
    with pytest.raises(ValueError, match="line 4: .* a second time in two parts, train and test, first in line 2"):
        read_split(path, pets)


@pytest.mark.parametrize("content", [b"\0\0", None])
def test_what_is_no_list(pets, tmp_path, content):
    path = tmp_path / "mine.csv"
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="mine.csv: (not a list of pictures|the list cannot be read)"):
        load(pets, "train", given=path)


def flat(root):
    """The pictures in one folder, and a list of their labels."""
    flat, lines = root.parent / "flat", []
    flat.mkdir()
    for path in sorted(root.rglob("*.png")):
        name = f"{path.relative_to(root).parts[0]}-{path.name}"
        shutil.copy(path, flat / name)
        lines.append(f"{name},{name.split('-')[0]}")
    return flat, lines


def test_a_list_of_labels_alone_is_split_by_the_program(pets):
    root, lines = flat(pets)
    labels = rows(root / "labels.csv", *lines, header="file,label")
    before = names(root, "test", labels)
    assert len(before) == 6 and names(root, "test", labels) == names(root, "test") == before
    rows(labels, *lines[1:], header="file,label")
    with pytest.raises(ValueError,
                       match="split.csv: was drawn of other pictures or labels than .*labels.csv.*delete it"):
        load(root, "test", given=labels)


def test_a_list_without_validation_gets_one_out_of_training(pets):
    root, lines = flat(pets)
    parts = [f"{line},{'test' if line.split('.')[0][-1] in '01' else 'train'}" for line in lines]
    given = rows(root / "mine.csv", *parts)
    assert names(root, "test", given) == {line.split(",")[0] for line in parts if line.endswith("test")}
    train = load(root, "train", given=given)
    assert len(train.val) == 3 and len(train.rows) == 24 and np.bincount(train.labels[train.val]).tolist() == [1] * 3
    assert np.array_equal(load(root, "train", given=given).val, train.val)
    rows(given, *parts[1:], parts[0].replace("test", "train"))
    with pytest.raises(ValueError, match="was drawn of other pictures or labels"):
        load(root, "train", given=given)


def test_what_differs_between_two_lists(pets, tmp_path):
    lines = whole(pets)
    one = read_split(pets / "store/split.csv", pets)
    assert differing(one, one) is None and differing(one._replace(parts=None), one) is None
    other = read_split(rows(tmp_path / "mine.csv", *lines[:-1]), pets)
    assert differing(one, other) == differing(other, one) == one.files[-1]


def test_samples_of_the_training_part_are_nested_and_leave_the_others_whole(pets):
    few, many = load(pets, "train", ratio=0.3), load(pets, "train")
    assert np.array_equal(few.val, many.val) and set(few.rows) < set(many.rows) and len(few.rows) == 6 + 3
    assert set(load(pets, "pretrain", ratio=0.3).rows) == set(few.rows) - set(few.val)


def test_folders_with_train_and_test_stay_as_they_are(pets):
    (pets.parent / "parted").mkdir()
    for part in ("train", "test"):
        shutil.copytree(pets, pets.parent / "parted" / part)
    root = pets.parent / "parted"
    assert [len(load(root, part).rows) for part in ("train", "test", "pretrain")] == [30, 30, 30]
    assert load(root, "train").val is None and not (root / "store/split.csv").exists()


def test_what_programs_left_and_unlabelled_folders_are_no_classes(pets):
    for place in ("Unlabelled", "checkpoint/x/y", "runs/x", "res/x"):
        paint(pets / place / "1.png", 700)
    (pets / "checkpoint/x/y/lock").touch()
    elsewhere = pets / "elsewhere"
    assert load(pets, "train", store_dir=elsewhere).classes == load(pets, "train").classes == ("ant", "bee", "cat")
    assert find_own(pets, stores_of(pets)).unlisted(stores_of(pets)) == ""


def test_an_unreadable_picture_keeps_its_part(pets):
    before = whole(pets)
    (pets / "ant/0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="ant/0.png"):
        load(pets, "train")
    part = dict(line.rsplit(",", 1) for line in before)["ant/0.png,ant"]
    counts = {"train": 21, "val": 3, "test": 6}
    counts[part] -= 1
    train = load(pets, "train", max_bad_images=1)
    assert (len(train.rows) - len(train.val), len(train.val)) == (counts["train"], counts["val"])
    assert len(load(pets, "test", max_bad_images=1).rows) == counts["test"]


def test_two_stores_are_picked_from_as_one(pets, tmp_path):
    for k in range(5):
        paint(tmp_path / "more/x" / f"{k}.png", 800 + k)
    one, two = load(pets, "pretrain"), load_unlabelled(tmp_path / "more", pets, 8)
    both, rng = joined(one, two), np.random.default_rng(0)
    assert len(both.rows) == 26 and both.images.shape == (35, 8, 8, 3) and both.classes == one.classes
    everything = np.concatenate([one.images, two.images])
    for _ in range(5):
        some = rng.permutation(35)[:9]
        assert np.array_equal(both.images[some], everything[some])
    assert np.array_equal(both.checksums[both.rows[-5:]], two.checksums) and not both.labelled
    assert both.labels[both.pool].tolist() == [*one.labels[one.pool], *[-1] * 5]
