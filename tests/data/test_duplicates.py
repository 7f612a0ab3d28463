"""Exact copies of pictures, by the bytes of their files and by their pixels at one stored size."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from data import store_files
from data.datasets import Split, load_split
from data.duplicates import copies, count_copies, from_state, merged, seen, to_state
from data.sources import ArraySource
from data.store import open_store


def noise(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folders(tmp_path):
    """one/ and two/ with a class of five pictures each: of two's, 1 is a file of one, 2 its pixels only."""
    for k in range(5):
        noise(tmp_path / "one/train/a" / f"{k}.png", k)
        noise(tmp_path / "two/train/a" / f"{k}.png", 10 + k)
    shutil.copy(tmp_path / "one/train/a/3.png", tmp_path / "two/train/a/1.png")
    (tmp_path / "two/train/a/2.png").unlink()
    Image.open(tmp_path / "one/train/a/0.png").save(tmp_path / "two/train/a/2.bmp")
    return tmp_path


def opened(folder, size=12):
    return load_split("folder", "pretrain", folder, size)  # which may have one class


def test_files_have_a_fingerprint_whatever_their_stored_size(folders):
    small, large = opened(folders / "one", 6), opened(folders / "one", 12)
    assert np.array_equal(small.contents, large.contents) and small.contents.dtype == np.int64
    sizes = [path.stat().st_size for path in sorted((folders / "one/train/a").iterdir())]
    assert (large.contents >> 32).tolist() == sizes and len(set(large.contents.tolist())) == 5
    assert not set(small.checksums.tolist()) & set(large.checksums.tolist())


def test_pictures_that_come_as_arrays_are_known_at_any_size(tmp_path):
    """torchvision's CIFAR-100, pre-trained on at 64 px: what is held out of 32 px is among it."""
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    found = {}
    for size, some in ((12, images[:3]), (24, images[1:])):
        store = open_store(tmp_path / str(size), lambda some=some: ArraySource(some, [0] * len(some), ["a"]), size)
        found[size] = Split(store.images, store.labels, store.classes, np.arange(len(some)), store.checksums,
                            store.contents)
    known = seen(found[24], found[24].rows)
    assert copies(found[12], found[12].rows, known).tolist() == [False, True, True]
    assert count_copies(found[12], found[12].rows[:1], known) == 0, "known not to be one"


def test_copies_by_file_and_by_pixels(folders):
    one, two = opened(folders / "one"), opened(folders / "two")
    known = seen(one, one.rows)
    assert copies(two, two.rows, known).tolist() == [False, True, True, False, False]
    assert copies(two, two.rows[[2, 0]], known).tolist() == [True, False]
    assert copies(one, one.rows, known).all()
    assert not copies(two, two.rows, seen(one, one.rows[[1, 2, 4]])).any()
    assert copies(two, two.rows, {**known, "files": known["files"][:0]}).tolist() == [False, True, True, False, False]


def test_pixels_tell_nothing_at_another_size(folders):
    one, two = opened(folders / "one", 6), opened(folders / "two", 12)
    assert copies(two, two.rows, seen(one, one.rows)).tolist() == [False, True, False, False, False]
    unknown = two._replace(contents=np.full(5, -1))
    assert not copies(unknown, two.rows, seen(one, one.rows)).any()
    both = merged(seen(one, one.rows), seen(opened(folders / "one"), one.rows))
    assert sorted(both["pixels"]) == [6, 12] and len(both["files"]) == 5
    assert copies(two, two.rows, both).tolist() == [False, True, True, False, False]


def test_unknown_files_are_no_copies_of_each_other(folders):
    one, two = (opened(folders / name)._replace(contents=np.full(5, -1)) for name in ("one", "two"))
    one, two = (split._replace(checksums=split.checksums + k) for k, split in enumerate((one, two)))
    known = seen(one, one.rows)
    assert not len(known["files"]) and not copies(two, two.rows, known).any()


def test_an_empty_part_has_and_is_no_copy(folders):
    one, nothing = opened(folders / "one"), np.arange(0)
    known = seen(one, nothing)
    assert not copies(one, one.rows, known).any() and len(copies(one, nothing, seen(one, one.rows))) == 0
    assert copies(one, one.rows, merged(known, seen(one, one.rows))).all()


def test_what_was_seen_is_sorted_and_unique():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    split = Split(images, np.zeros(4, int), ("a",), np.arange(4), np.array([7, 3, 7, 5]), np.array([9, -1, 9, 2]))
    known = seen(split, np.array([0, 1, 2]))
    assert known["pixels"][2].tolist() == [3, 7] and known["files"].tolist() == [9]
    union = merged(known, seen(split, np.array([3, 0])))
    assert union["pixels"][2].tolist() == [3, 5, 7] and union["files"].tolist() == [2, 9]


def test_a_checkpoint_keeps_it(folders, tmp_path):
    one, two = opened(folders / "one", 6), opened(folders / "two")
    known = merged(seen(one, one.rows), seen(two, two.rows))
    torch.save({"seen": to_state(known)}, tmp_path / "x.pth")
    found = from_state(torch.load(tmp_path / "x.pth", weights_only=True)["seen"])
    assert sorted(found["pixels"]) == [6, 12] and np.array_equal(found["files"], known["files"])
    assert all(np.array_equal(found["pixels"][size], known["pixels"][size]) for size in (6, 12))


def without_files(split):
    return split._replace(contents=np.full(len(split.contents), -1))


def test_where_pictures_cannot_be_compared_their_number_is_not_known(folders):
    """By pixels at one size, else by files, of which all are needed on both sides; a checkpoint keeps that."""
    small, one, two = opened(folders / "one", 6), opened(folders / "one"), opened(folders / "two")
    few = two.rows[[0, 3, 4]]  # copies of nothing
    for known, judged, expected in (
            (seen(small, small.rows), two, 0), (seen(one, one.rows), without_files(two), 0),
            (seen(small, small.rows), without_files(two), None), (seen(without_files(small), small.rows), two, None),
            (merged(seen(one, one.rows), seen(without_files(small), small.rows)), two, None),
            (merged(seen(one, one.rows), seen(without_files(one), one.rows)), two, 0)):
        for found in (known, from_state(to_state(known))):
            assert count_copies(judged, few, found) == expected
            assert count_copies(judged, few[:0], found) == 0
    assert count_copies(two, two.rows, merged(seen(one, one.rows), seen(without_files(small), small.rows))) == 2


def test_an_older_checkpoint_tells_by_numbers_whether_all_files_are_known(folders):
    one, two = opened(folders / "one", 6), opened(folders / "two")
    for split, expected in ((one, 0), (without_files(one), None)):
        state = to_state(seen(split, split.rows))
        del state["whole"]
        assert count_copies(two, two.rows[[0, 3, 4]], from_state(state)) == expected


LONG = torch.arange(3)


@pytest.mark.parametrize("state", [
    None, 3, "text", [], {}, {"pixels": {}}, {"files": LONG}, {"pixels": [LONG], "files": LONG},
    {"pixels": {"x": LONG}, "files": LONG}, {"pixels": {float("inf"): LONG}, "files": LONG},
    {"pixels": {8: [1]}, "files": LONG}, {"pixels": {8: LONG.float()}, "files": LONG},
    {"pixels": {8: LONG[None]}, "files": LONG}, {"pixels": {8: LONG}, "files": LONG.int()},
    {"pixels": {8: torch.ones(2, requires_grad=True)}, "files": LONG}], ids=str)
def test_nothing_of_the_kind_is_none(state):
    assert from_state(state) is None


def test_the_least_that_is_of_the_kind():
    assert from_state({"pixels": {8: LONG}, "files": LONG})["pixels"][8].tolist() == [0, 1, 2]


def test_a_file_too_large_for_its_fingerprint_has_none():
    keys = np.array([[2 ** 31 - 1, 0, 0, 1, 2 ** 32 - 1], [2 ** 31, 0, 0, 1, 5], [0, 0, 0, 1, 5], [9, 0, 0, 1, -1]])
    assert store_files.fingerprints(keys).tolist() == [2 ** 63 - 1, -1, -1, -1]
