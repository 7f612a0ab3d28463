"""Copies of the code for the tests of grids."""

import shutil
from pathlib import Path

import pytest

from tests.common import ROOT


def copy_code(folder):
    """Copy programs, scripts and rooms; no results, data or tests."""
    rooms = {path.parent for path in ROOT.glob("*/*.py")} - {ROOT / "tests"}
    code = [*ROOT.glob("*.py"), *ROOT.glob("*.sh"), *(path for room in rooms for path in room.iterdir() if path.is_file())]
    for path in code:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return folder


@pytest.fixture(scope="session")
def stubbed(tmp_path_factory):
    """A copy of the code whose programs leave the files of runs without training anything; see stub.py."""
    folder = copy_code(tmp_path_factory.mktemp("stubbed"))
    for name in ("train.py", "pretrain.py"):
        shutil.copy(Path(__file__).with_name("stub.py"), folder / name)
    return folder
