"""Which checkpoint of finished trainings is applied, and where its images are looked for."""

import math
import os
from argparse import Namespace
from pathlib import Path

import pytest

from records import checkpoint
from records.trained import are_others, find_tested, find_trained, store_options


def save(folder, name="run", kind=checkpoint.LAST, **more):
    path = folder / name / kind
    checkpoint.save(path, {"epoch": 1, "config": {"data": "folder", "epochs": 1}, **more})
    return path


def test_the_epoch_that_validation_chose_is_not_replaced_by_the_last(tmp_path):
    last, best = save(tmp_path, best=0.5), save(tmp_path, kind=checkpoint.BEST, best=0.5)
    assert find_trained(tmp_path, "folder") == best
    best.unlink()
    with pytest.raises(FileNotFoundError, match=f"best.pth: is gone, .*; name {last} with --checkpoint"):
        find_trained(tmp_path, "folder")


@pytest.mark.parametrize("more", [{"best": -math.inf}, {}])
def test_without_validation_it_is_the_last(tmp_path, more):
    last = save(tmp_path, **more)
    assert find_trained(tmp_path, "folder") == last


def test_a_run_on_the_data_folder_goes_first_and_one_on_the_images_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, (name, folder, test) in enumerate((("new", "b", "y"), ("middle", "a", "x"), ("old", "a", "x"))):
        path = save(tmp_path, name, config={"data": "folder", "epochs": 1, "data_dir": folder},
                    identity={"data": {"test": test}})
        os.utime(path, (1e9 - age, 1e9 - age))
    assert [find_trained(tmp_path, "folder", there).parent.name for there in (None, "c", "b", tmp_path / "a")] == [
        "new", "new", "new", "middle"]
    assert [path and path.parent.name for path in (find_tested(tmp_path, "folder", test) for test in "xyz")] == [
        "middle", "new", None]
    assert find_tested(tmp_path, "cifar100", "x") is None


@pytest.mark.parametrize("state, expected", [
    ({"identity": {"data": {"test": "x"}}}, False), ({"identity": {"data": {"test": "y"}}}, True),
    ({"identity": {"data": {}}}, False), ({"identity": None}, False), ({}, False)])
def test_of_an_older_checkpoint_no_images_are_known(state, expected):
    assert are_others(state, "test", "x") == expected


def test_stores_of_a_run_are_those_of_its_data_folder_however_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stores").mkdir()
    (tmp_path / "link").symlink_to("pets")
    config = {"data": "folder", "data_dir": "pets", "split": "mine.csv", "store_dir": "stores"}

    def options(data_dir, store_dir=None, split=None, data="folder", config=config):
        found = store_options(Namespace(data_dir=data_dir, store_dir=store_dir, split=split, data=data), config)
        return found["store_dir"], found["given"]

    theirs = Path("stores"), Path("mine.csv")
    for folder in (None, Path("pets"), tmp_path / "pets", tmp_path / "link"):
        assert options(folder) == theirs
    assert options(Path("other")) == options(Path("pets"), data="cifar10") == (None, None)
    assert options(Path("pets"), Path("s"), Path("x.csv")) == (Path("s"), Path("x.csv"))
    assert options(Path("pets"), config={**config, "store_dir": "gone"}) == (None, Path("mine.csv"))
    assert options(None, config={"data": "folder"}) == (None, None)
