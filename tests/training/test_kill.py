"""Runs that are killed at random moments and started again end as if nothing had happened.

    KILLS=50 python -m pytest tests/training/test_kill.py      a longer soak
"""

import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from records import checkpoint
from tests.training.test_loop import equal, outcome

KILLS = int(os.environ.get("KILLS", "2"))  # of each program
COMMON = ["--data", "digits", "--epochs", "2", "--lr", "0.01", "--checkpoint-minutes", "1e-9"]
PROGRAMS = {
    "pretrain.py": [*COMMON, "--sample-ratio", "0.2", "--batch-size", "32", "--knn-every", "2"],
    "train.py": [*COMMON, "--model-type", "Supervised", "--batch-size", "16"],
}


def start(program, folder, *more):
    command = [sys.executable, str(ROOT / program), *PROGRAMS[program], *more,
               "--output-dir", str(folder / "out")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def check_files(folder):
    """Whatever lies there is whole: the checkpoint, and every row of the CSV once."""
    for path in folder.glob("out/checkpoint/*/*/last.pth"):
        checkpoint.read(path)
    for path in folder.glob("out/res/*.csv"):
        with open(path, newline="") as file:
            epochs = [row["epoch"] for row in csv.DictReader(file)]
        assert epochs == [str(k + 1) for k in range(len(epochs))]


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_at_random_moments(program, tmp_path):
    started = time.monotonic()
    whole = start(program, tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    duration = time.monotonic() - started

    killed = tmp_path / "killed"
    kills, resume = 0, []
    while True:
        process = start(program, killed, *resume)
        if kills < KILLS:
            try:
                process.wait(random.uniform(0.3, 1) * duration)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                check_files(killed)
                resume = ["--resume"] if list(killed.glob("out/checkpoint/*/*/last.pth")) else []
                continue
        error = process.communicate()[1]
        assert process.returncode == 0, error
        if kills >= KILLS:
            break
        for path in killed.glob("out/checkpoint/*/*/*.pth"):  # finished before its turn came: once more
            path.unlink()
        resume = []
    (state, rows), (wanted, wanted_rows) = outcome(killed), outcome(tmp_path / "whole")
    assert equal(state["model"], wanted["model"]) and equal(state["optimizer"], wanted["optimizer"])
    assert rows == wanted_rows and [row["epoch"] for row in rows] == ["1", "2"]
