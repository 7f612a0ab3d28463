"""Several processes give what one gives; one that is lost ends the others, and the run goes on without it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from parallel.distributed import share_of
from records import checkpoint
from self_supervised_pretrained.registry import PRETRAININGS
from tests.test_loop import CASES, outcome

ROOT = Path(__file__).resolve().parents[1]
LOCAL = {**os.environ, "OMP_NUM_THREADS": "1"}


def torchrun(processes, *words, options=()):
    """The command that starts a program in some processes here; without torchrun in one."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *options]
    return [sys.executable, *(start if processes > 1 else []), *map(str, words)]


def run(processes, *words):
    done = subprocess.run(torchrun(processes, *words), capture_output=True, text=True, check=False, env=LOCAL,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(folder):
    """CSV columns that do not depend on the clock, and weights, of every run below a folder."""
    found = {}
    for path in sorted(folder.glob("out/res/*.csv")):
        header, *lines = (line.split(",")[:-2] for line in path.read_text().splitlines())
        found[path.name] = [[float(cell or 0) for cell in line] for line in lines]
    for path in sorted(folder.glob("out/checkpoint/*/*/last.pth")):
        found[str(path.relative_to(folder))] = checkpoint.read(path)["model"]
    return found


@pytest.fixture
def copies(image_folder):
    """A function that makes folders with the same images and nothing else."""
    def make(name):
        (image_folder / name).mkdir()
        shutil.copytree(image_folder / "data", image_folder / name / "data")
        return image_folder / name
    return make


def test_one_two_and_three_processes_give_the_same(tmp_path):
    """All pre-trainings and all five methods: curves of two epochs and weights."""
    folders = {count: tmp_path / str(count) for count in (1, 2, 3)}
    for count, folder in folders.items():
        run(count, ROOT / "tests" / "all_methods.py", folder)
    wanted = results(folders[1])
    assert len(wanted) == 16
    for count in (2, 3):
        found = results(folders[count])
        assert found.keys() == wanted.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, wanted[name], rtol=2e-3, atol=1e-4, msg=lambda text: f"{name}: {text}")


def test_gradients_of_parts_and_of_processes(tmp_path):
    """Of each pre-training, in float64: two and three processes and pieces of a batch give the gradient of one whole
    batch."""
    for count in (1, 2, 3):
        run(count, ROOT / "tests" / "one_gradient.py", tmp_path / str(count))
    alone = torch.load(tmp_path / "1")
    assert alone.keys() == PRETRAININGS.keys()
    for count in (1, 2, 3):
        for method, found in torch.load(tmp_path / str(count)).items():
            whole = alone[method]
            for name in ("whole", "pieces"):
                torch.testing.assert_close(found[name], whole["whole"], rtol=1e-9, atol=1e-12)
            # with batch norm a piece is normalised by itself, in all processes together
            torch.testing.assert_close(found["norm"], whole["norm"], rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(found["norm pieces"], whole["norm reference"], rtol=1e-9, atol=1e-12)
            assert not torch.allclose(whole["norm"][0], whole["norm reference"][0])


@pytest.mark.parametrize("count, piece, processes", [(11, 11, 1), (11, 4, 1), (11, 4, 3), (2, 2, 3), (128, 32, 2)])
def test_shares_are_a_partition(count, piece, processes):
    shares = [share_of(count, piece, processes, number) for number in range(processes)]
    assert sorted(row for share in shares for row in share.rows) == list(range(count))
    for k, first in enumerate(shares[0].pieces):
        rows = [row for share in shares for row in share.rows[share.pieces[k].own]]
        assert rows == list(range(count))[first.in_batch] and len(rows) <= piece
        assert first.counts == tuple(len(share.rows[share.pieces[k].own]) for share in shares)


PRETRAIN = [ROOT / "pretrain.py", *CASES["SimCLR, Adam"][1], "--amp", "off"]


def start(folder, processes, *more, options=()):
    where = "--data-dir", folder / "data", "--output-dir", folder / "out"
    return subprocess.Popen(torchrun(processes, *PRETRAIN, *where, *more, options=options), text=True, env=LOCAL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def workers(torchrun_process):
    """Process numbers of what torchrun started, by rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == torchrun_process.pid:
                entries = (path / "environ").read_bytes().split(b"\0")
                found[int(dict(e.split(b"=", 1) for e in entries if b"=" in e)[b"RANK"])] = int(path.name)
        except (OSError, KeyError):
            continue
    return [found[k] for k in sorted(found)]


def wait_for_epoch(process, epoch):
    for line in process.stdout:
        if line.startswith(f"epoch {epoch}/"):
            return
    raise AssertionError(process.stderr.read())


LONG = ["--epochs", "40", "--knn-every", "0", "--checkpoint-minutes", "1e-9", "--scheduler", "constant"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_ends_the_run_and_one_process_goes_on(copies, victim):
    folder = copies("lost")
    process = start(folder, 2, *LONG)
    wait_for_epoch(process, 2)
    os.kill(workers(process)[victim], signal.SIGKILL)
    begun = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and time.monotonic() - begun < 45
    assert error.count("error: lost one of the 2 processes") <= 1 and "SIGKILL" in error
    state, rows = outcome(folder)
    before = len(rows)
    assert before >= 2

    more = [*LONG[2:], "--epochs", str(before + 2), "--resume"]
    alone = start(folder, 1, *more)
    assert alone.wait(timeout=120) == 0, alone.stderr.read()
    state, rows = outcome(folder)
    assert state["epoch"] == before + 2 and [row["epoch"] for row in rows] == [str(k + 1) for k in range(before + 2)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_torchrun_starts_again_from_the_checkpoint(copies):
    """And not from one that an earlier run left."""
    folder = copies("again")
    old = start(folder, 1, "--epochs", "1", *LONG[2:])
    assert old.wait(timeout=120) == 0, old.stderr.read()
    process = start(folder, 2, *LONG, "--epochs", "6", options=["--max-restarts=1"])
    wait_for_epoch(process, 2)
    os.kill(workers(process)[1], signal.SIGKILL)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    epochs = [int(line.split("/")[0].split()[1]) for line in out.splitlines() if line.startswith("epoch ")]
    assert epochs[-1] == 6 and min(epochs) >= 2, out
    assert [row["epoch"] for row in outcome(folder)[1]] == [str(k + 1) for k in range(6)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_signal_to_one_process_stops_all_at_the_same_step(copies):
    folder = copies("signal")
    process = start(folder, 2, *LONG[:-4], "--checkpoint-minutes", "60")
    wait_for_epoch(process, 1)
    os.kill(workers(process)[1], signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert error.count("stopped by SIGTERM after a checkpoint") == 1 and "torchrun --nproc-per-node=2" in error
    state, rows = outcome(folder)
    assert len(rows) == state["epoch"] >= 1


def test_an_error_that_meets_all_is_said_once(copies):
    process = start(copies("wrong"), 2, "--batch-size", "999")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and error.count("error: --batch-size 999 is larger than the 24") == 1
