"""Several processes give what one gives; one that is lost ends the others, and the run goes on without it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import pretrain
from conf.methods import MODEL_TYPES
from parallel.distributed import share_of
from records import checkpoint
from self_supervised_pretrained.registry import PRETRAININGS
from tests.common import ROOT, environment, outcome, rows_of, run

LOCAL = environment(OMP_NUM_THREADS="1")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


def torchrun(processes, *words, options=()):
    """The command that starts a program in some processes here; without torchrun in one."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *options]
    return [sys.executable, *(start if processes > 1 else []), *map(str, words)]


def results(folder):
    """CSV columns that do not depend on the clock, and weights, of every run below a folder, by its name without the
    digest: weights that differ in rounding make other runs."""
    found = {}
    for path in sorted(folder.glob("out/res/*.csv")):
        found[path.stem[:-9]] = [{name: float(cell or 0) for name, cell in row.items()}
                            for row in rows_of(path, timed=False)]
    for path in sorted(folder.glob("out/checkpoint/*/*/last.pth")):
        found[f"{path.parent.parent.name}/{path.parent.name[:-9]}"] = checkpoint.read(path)["model"]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_images):
    """A function from a number of processes to a folder with all that they made."""
    def make(processes):
        folder = tmp_path_factory.mktemp(f"processes-{processes}")
        make_images(folder)
        done = subprocess.run(torchrun(processes, ROOT / "tests" / "parallel" / "all_methods.py", folder), text=True,
                              capture_output=True, check=False, env=LOCAL, timeout=600)
        assert done.returncode == 0, done.stderr
        return folder

    alone = make(1)
    return lambda processes: alone if processes == 1 else make(processes)


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_some_processes_give_what_one_gives(made, processes):
    """All pre-trainings and all methods: gradients, curves of two epochs and weights."""
    alone, together = made(1), made(processes)
    check_gradients(torch.load(alone / "gradients.pth"), torch.load(together / "gradients.pth"))
    wanted, found = results(alone), results(together)
    runs = len(PRETRAININGS) + len(MODEL_TYPES) + sum(kind.frozen for kind in MODEL_TYPES.values())
    assert len(wanted) == 2 * runs and found.keys() == wanted.keys()
    for name, value in found.items():
        near = {"rtol": 1e-2, "atol": 1e-2} if "-lbfgs" in name else {"rtol": 2e-3, "atol": 1e-4}  # where it ended
        torch.testing.assert_close(value, wanted[name], **near, msg=lambda text, name=name: f"{name}: {text}")


def check_gradients(alone, together):
    """Of each pre-training, in float64: processes and pieces of a batch give the gradient of one whole batch."""
    assert alone.keys() == together.keys() == PRETRAININGS.keys()
    for gradients in (alone, together):
        for method, found in gradients.items():
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


SHORT = ["--image-size", "32", "--stem", "7x7", "--batch-size", "5", "--sample-ratio", "1", "--amp", "off",
         "--knn-every", "0", "--scheduler", "constant", "--checkpoint-minutes", "1e-9"]
LONG = [*SHORT, "--epochs", "200"]


def start(folder, *more, options=()):
    """Pre-training in two processes."""
    where = "--data-dir", folder / "data", "--output-dir", folder / "out"
    return subprocess.Popen(torchrun(2, ROOT / "tests" / "narrow.py", "pretrain.py", *where, *more, options=options),
                            text=True, env=LOCAL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


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
        if line.startswith("epoch ") and int(line.split("/")[0].split()[1]) >= epoch:  # not every short one is printed
            return
    raise AssertionError(process.stderr.read())


@linux
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_a_lost_process_ends_the_run_and_one_process_goes_on(image_folder, narrow, victim):
    epochs = ["--epochs", "60"]
    process = start(image_folder, *SHORT, *epochs)
    wait_for_epoch(process, 2)
    os.kill(workers(process)[victim], signal.SIGKILL)
    begun = time.monotonic()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1 and time.monotonic() - begun < 90
    assert error.count("error: lost one of the 2 processes") <= 1 and "SIGKILL" in error
    before = len(outcome(image_folder)[1])
    assert 2 <= before < 60

    assert run(pretrain, image_folder, *SHORT, *epochs, "--resume") == 0
    state, rows = outcome(image_folder)
    assert state["epoch"] == 60 and [row["epoch"] for row in rows] == [str(k + 1) for k in range(60)]


@linux
def test_torchrun_starts_again_from_the_checkpoint(image_folder, narrow):
    """And not from one that an earlier run left."""
    assert run(pretrain, image_folder, *SHORT, "--epochs", "6") == 0
    process = start(image_folder, *SHORT, "--epochs", "6", "--overwrite", options=["--max-restarts=1"])
    wait_for_epoch(process, 2)
    os.kill(workers(process)[1], signal.SIGKILL)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    epochs = [int(line.split("/")[0].split()[1]) for line in out.splitlines() if line.startswith("epoch ")]
    assert epochs[-1] == 6 and min(epochs) >= 2, out
    assert [row["epoch"] for row in outcome(image_folder)[1]] == [str(k + 1) for k in range(6)]


@linux
def test_a_signal_to_one_process_stops_all_at_the_same_step(image_folder):
    process = start(image_folder, *LONG, "--checkpoint-minutes", "60")
    wait_for_epoch(process, 1)
    os.kill(workers(process)[1], signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert error.count("stopped by SIGTERM after a checkpoint") == 1 and "torchrun --nproc-per-node=2" in error
    state, rows = outcome(image_folder)
    assert len(rows) == state["epoch"] >= 1


def test_an_error_that_meets_all_is_said_once(image_folder):
    process = start(image_folder, "--batch-size", "999", "--sample-ratio", "1")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1 and error.count("error: --batch-size 999 is larger than the 24") == 1
