"""Where things are, how the tests start them, and what runs leave: the one place that says so."""

import csv
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import torch

import utils
from records import checkpoint

ROOT = Path(__file__).resolve().parents[1]
BASH = os.environ.get("OLD_BASH", "bash")
SOAK = os.environ.get("SOAK", "0") not in ("", "0")  # also what takes long
TIMED = ("images_per_second", "seconds")  # columns that differ from run to run


def environment(**more):
    """Variables of a process that finds this Python as `python`."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


def make_venv(folder, command='exec "$real" "$@"', unless="nothing"):
    """Make a folder that environment.sh takes for a virtual environment with all requirements installed.

    Args: command: what its python does, in bash. unless: a pattern of first arguments with which it is this Python.
    """
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/bash\nreal={shlex.quote(sys.executable)}\n'
                      f'case $1 in {unless}) exec "$real" "$@" ;; esac\n{command}\n')
    python.chmod(0o755)
    (folder / "pyvenv.cfg").touch()
    (folder / "requirements.installed").write_bytes((ROOT / "requirements.txt").read_bytes())


def copy_code(folder):
    """Copy programs, scripts and rooms; no results, data or tests."""
    rooms = {path.parent for path in ROOT.glob("*/*.py")} - {ROOT / "tests"}
    code = [*ROOT.glob("*.py"), *ROOT.glob("*.sh"), ROOT / "requirements.txt",
            *(path for room in rooms for path in room.iterdir() if path.is_file())]
    for path in code:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return folder


def stub_made_from(folder):
    """Have a copy of the code plan runs without images or weights; see stub_made_from.py."""
    for name in ("training/images.py", "supervised_pretrained/start.py"):
        shutil.copy(ROOT / "tests" / "stub_made_from.py", folder / name)


def run(program, root, *arguments, output="out"):
    """Run a program here on the images in root/data. Returns: its status."""
    common = ["--data-dir", str(root / "data"), "--output-dir", str(root / output)]
    return utils.run(program.main, [*map(str, arguments), *common])


def cut_off(monkeypatch, epochs, program, root, *arguments, **options):
    """As `run`, but SIGTERM ends it after so many epochs."""
    with monkeypatch.context() as patch:
        patch.setattr("training.loop.Run._asked", lambda self: signal.SIGTERM if self.epoch >= epochs else None)
        assert run(program, root, *arguments, **options) == 128 + signal.SIGTERM


def rows_of(path, timed=True):
    """The rows of a CSV, on demand without what depends on the clock."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if timed or name not in TIMED}
                for row in csv.DictReader(file)]


def outcome(folder):
    """Checkpoint and CSV (time columns aside) of the only run below a folder."""
    last, = folder.glob("out/checkpoint/*/*/last.pth")
    log, = folder.glob("out/res/*.csv")
    return checkpoint.read(last), rows_of(log, timed=False)


def equal(a, b):
    """Whether two nests of dicts and lists hold the same, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b
