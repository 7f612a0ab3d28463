"""Runs that are killed at random moments and started again end as if nothing had happened.

    KILLS=50 SOAK=1 bash tests/run.sh -k killed_at      a longer soak
"""

import os
import random
import shutil
import subprocess
import sys

import pytest
import torch

import pretrain
import train
from records import checkpoint
from tests.common import ROOT, SOAK, equal, outcome, rows_of, run

KILLS = int(os.environ.get("KILLS", "10" if SOAK else "2"))  # of each program
SEEDS = range(3) if SOAK else range(1)
COMMON = ["--epochs", "3", "--lr", "0.01", "--checkpoint-minutes", "1e-9", "--amp", "off"]
PROGRAMS = {
    "pretrain.py": (pretrain, [*COMMON, "--sample-ratio", "1", "--batch-size", "5", "--image-size", "32",
                               "--knn-every", "2"]),
    "train.py": (train, [*COMMON, "--model-type", "Supervised", "--batch-size", "4"]),
}


def start(program, folder, *more):
    """A program in a process of its own, with a narrow network and as many threads as here."""
    where = ["--data-dir", folder / "data", "--output-dir", folder / "out"]
    command = [sys.executable, ROOT / "tests" / "narrow.py", program, *PROGRAMS[program][1], *more, *where]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())})


def check_files(folder):
    """Whatever lies there is whole: the checkpoint, and every row of the CSV once."""
    for path in folder.glob("out/checkpoint/*/*/last.pth"):
        checkpoint.read(path)
    for path in folder.glob("out/res/*.csv"):
        epochs = [row["epoch"] for row in rows_of(path)]
        assert epochs == [str(k + 1) for k in range(len(epochs))]


def wait_for_beginning(process):
    """Wait until the first step is near: before it, all moments are alike."""
    for line in process.stdout:
        if "epochs of" in line or "is finished" in line:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_at_random_moments(image_folder, make_images, narrow, program, seed):
    whole, moments = make_images(image_folder / "whole"), random.Random(seed)
    module, arguments = PROGRAMS[program]
    assert run(module, whole, *arguments) == 0
    log, = whole.glob("out/res/*.csv")
    duration = sum(float(row["seconds"]) for row in rows_of(log))

    kills, resume = 0, []
    while kills < KILLS:
        process = start(program, image_folder, *resume)
        wait_for_beginning(process)
        moment = moments.uniform(0, 1.2) * duration
        print(f"seed {seed}: kill {kills + 1} of {program} {moment:.2f} s after its beginning")  # shown where it fails
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        error = process.communicate()[1]
        assert process.returncode in (0, -9), error
        check_files(image_folder)
        if process.returncode == 0:  # finished before its turn came: once more
            shutil.rmtree(image_folder / "out")
        resume = ["--resume"] if list(image_folder.glob("out/checkpoint/*/*/last.pth")) else []
    assert run(module, image_folder, *arguments, *resume) == 0
    (state, rows), (wanted, wanted_rows) = outcome(image_folder), outcome(whole)
    assert equal(state["model"], wanted["model"]) and equal(state["optimizer"], wanted["optimizer"])
    assert rows == wanted_rows and [row["epoch"] for row in rows] == ["1", "2", "3"]
    kept = [[path.read_bytes() for path in sorted(root.glob("out/res/*.npy"))] for root in (image_folder, whole)]
    assert kept[0] == kept[1] and len(kept[0]) == (2 if program == "train.py" else 0)
