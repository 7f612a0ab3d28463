"""Checkpoint files that are damaged, foreign, or cannot be written."""

import subprocess
import sys

import pytest
import torch

from records import checkpoint
from tests.common import ROOT


@pytest.fixture
def path(tmp_path):
    checkpoint.save(tmp_path / "last.pth", {"model": {"fc.weight": torch.arange(1000.0)}, "epoch": 3})
    return tmp_path / "last.pth"


def test_comes_back_as_it_was(path):
    state = checkpoint.read(path)
    assert state["epoch"] == 3 and torch.equal(state["model"]["fc.weight"], torch.arange(1000.0))
    assert [file.name for file in path.parent.iterdir()] == ["last.pth"]


@pytest.mark.parametrize("position", [0.3, 0.5, 0.7])
def test_a_flipped_bit_is_noticed(path, position):
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(1000.0).numpy().tobytes()) + int(position * 4000)
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged.*make it again"):
        checkpoint.read(path)


@pytest.mark.parametrize("length", [0, 1, 100, -1, -300])
def test_a_truncated_file_is_noticed(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.read(path)


def test_another_version(path):
    torch.save({"version": 99, "model": {}, "trained_as": {}}, path)
    with pytest.raises(ValueError, match="version 99; this program reads version 1"):
        checkpoint.read(path)


def test_something_else(path):
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list"):
        checkpoint.read(path)
    with pytest.raises(FileNotFoundError, match="gone.pth"):
        checkpoint.read(path.with_name("gone.pth"))


FULL = """
import resource, sys, torch
from records import checkpoint
from tests.common import ROOT
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(sys.argv[1], {"model": {"fc.weight": torch.zeros(1_000_000)}})
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_one_before(path):
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, cwd=ROOT,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert f"cannot write {path}" in done.stdout and "make room" in done.stdout
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
