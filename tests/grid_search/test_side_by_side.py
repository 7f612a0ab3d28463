"""Grids of linear classifiers whose cells share a process: real ones, stopped, gone on with, and one that fails."""

import shutil
import signal
import time

import pytest

from tests.common import ROOT
from tests.grid_search.conftest import Digits

LINEAR = ["--model-type", "Untrained", "--image-size", "8", "--eval-every", "1"]
WAIT_SECONDS = 120


@pytest.fixture
def linear(tmp_path):
    return Digits(tmp_path / "grid", ROOT)


def test_stopped_they_go_on_to_the_end(linear):
    words = [*LINEAR, "--epochs", "60"]
    process = linear.start(*words, "--checkpoint-minutes", "1e-9", JOBS="1")
    ending = time.monotonic() + WAIT_SECONDS
    while len(list(linear.folder.glob("checkpoint/*/*/last.pth"))) < 4:
        assert time.monotonic() < ending, "waited in vain"
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM and out.count(": cut off") == 4, out + err
    assert all(len(rows) < 60 for rows in linear.table().values())
    logs = [path.read_text() for path in linear.folder.glob("checkpoint/*/*/log.txt")]
    assert len(logs) == 4 and sum("stopped by SIGINT after a checkpoint" in log for log in logs) == 1
    left = linear.finish(*words, DRY_RUN="1")[1].splitlines()
    assert len(left) == 4 and all(line.endswith(" --resume") for line in left)
    status, out, err = linear.finish(*words)
    assert status == 0 and "finished: 4 of 4 runs" in out, out + err
    assert [[int(row["epoch"]) for row in rows] for rows in linear.table().values()] == [[*range(1, 61)]] * 4


def test_what_fails_among_them_is_named_and_leaves_the_others(linear):
    assert linear.finish(*LINEAR, OPTIMIZERS="sgd", LRS="0.001")[0] == 0
    log, = linear.folder.glob("res/*.csv")
    log.unlink()
    log.mkdir()
    shutil.rmtree(linear.folder / "checkpoint" / "Untrained")
    status, out, err = linear.finish(*LINEAR, LRS="0.001 0.01 1e30", JOBS="1", OPTIMIZERS="sgd")
    assert status == 1 and "finished: 1 of 3 runs" in out and "1 of 3 runs failed" in err, out + err
    failed, = [line for line in out.splitlines() if line.startswith("failed: ")]
    diverged, = [line for line in out.splitlines() if line.startswith("diverged: ")]
    assert "digits-sgd-lr0.001-" in failed and ": error: " in failed and str(log) in failed and "log.txt" in failed
    assert "digits-sgd-lr1e+30-" in diverged
