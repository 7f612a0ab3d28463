"""run.sh, and two processes of torchrun, killed at random moments and started again, end as if nothing had happened.

    KILLS=50 SOAK=1 bash tests/run.sh -k killed      a longer soak, with training/test_kill.py and the grids'
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common import BASH, ROOT, SOAK, environment, equal, make_venv, outcome, rows_of

KILLS = int(os.environ.get("KILLS", "10" if SOAK else "2"))  # of each test
LONGEST = 60  # seconds of a start, at most


def descendants(number):
    """Numbers of the processes below one: torchrun's have sessions of their own."""
    try:
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def start_and_kill(command, moment, **more):
    """Start a command in a session of its own, and kill all of it at a moment in seconds. Returns: whether it ended
    before."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True, env=environment(OMP_NUM_THREADS="1", **more))
    try:
        out, _ = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        for number in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, out
    return True


def until_finished(command_of, duration, seed, **more):
    """Kill so many starts at moments drawn with a seed, then let one end.

    Args: command_of: number of start -> command.
    """
    moments, kills, starts = random.Random(seed), 0, 0
    while kills < KILLS:
        kills += not start_and_kill(command_of(starts), moments.uniform(0, duration), **more)
        starts += 1
    assert start_and_kill(command_of(starts), 10 * LONGEST, **more)


def test_run_sh_killed_goes_on_to_the_same_table(tmp_path, stubbed):
    make_venv(tmp_path / "venv")

    def command(folder):
        return [BASH, stubbed / "run.sh", "demo", "--epochs", "9", "--output-dir", tmp_path / folder]

    def table(folder):
        return {path.name: rows_of(path, timed=False) for path in sorted((tmp_path / folder).glob("res/*.csv"))}

    variables = {"VENV": str(tmp_path / "venv")}
    assert start_and_kill(command("whole"), LONGEST, **variables)
    until_finished(lambda _: command("killed"), 6, 0, **variables)
    assert table("killed") == table("whole") and len(table("whole")) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun's children are found in /proc")
@pytest.mark.soak
def test_two_processes_killed_go_on_to_the_same_weights(image_folder, make_images):
    make_images(image_folder / "whole")

    def command(root, *more):
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
                ROOT / "tests" / "narrow.py", "pretrain.py", "--epochs", "8", "--lr", "0.01", "--amp", "off",
                "--checkpoint-minutes", "1e-9", "--sample-ratio", "1", "--batch-size", "6", "--image-size", "32",
                "--knn-every", "0", "--data-dir", root / "data", "--output-dir", root / "out", *more]

    def again(_):
        begun = list(image_folder.glob("out/checkpoint/*/*/last.pth"))
        return command(image_folder, *["--resume"] * bool(begun))

    assert start_and_kill(command(image_folder / "whole"), LONGEST)
    until_finished(again, 14, 0)
    (state, rows), (wanted, wanted_rows) = outcome(image_folder), outcome(image_folder / "whole")
    assert equal(state["model"], wanted["model"]) and rows == wanted_rows
    assert [row["epoch"] for row in rows] == [str(k + 1) for k in range(8)]
