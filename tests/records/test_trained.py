"""Which checkpoint of finished trainings is applied, and where its images are looked for."""

import math

import pytest

from records import checkpoint
from records.trained import find_trained


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
