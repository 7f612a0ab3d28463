"""The five grids print exactly the cells of their tables; a grid survives being killed and names what failed.

Most cells are stubs (stub.py), which end within a second; the programs themselves run where they are the point.
"""

import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.common import BASH, ROOT, SOAK, environment
from tests.grid_search.conftest import Digits
from training.command_line import parse_pretrain, parse_train

WAIT_SECONDS = 300  # for jobs in a queue
PROGRAMS = {"train.py": parse_train, "pretrain.py": parse_pretrain}
GRIDS = {  # script: (model type, batch sizes, sample ratios)
    "supervised": ("Supervised", (32, 64, 128, 256), ()),
    "supervised_pretrained": ("SupervisedPretrained", (128,), ()),
    "supervised_pretrained_finetune": ("SupervisedPretrainedFinetune", (32, 64, 128, 256), ()),
    "self_supervised_pretrained": ("SelfSupervisedPretrained", (128,), (0.1, 0.3, 0.5, 1.0)),
    "self_supervised_pretrained_finetune":
        ("SelfSupervisedPretrainedFinetune", (128,), (0.1, 0.3, 0.5, 1.0)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_dry_run_prints_the_cells(name, tmp_path, stubbed):
    model_type, batch_sizes, ratios = GRIDS[name]
    done = subprocess.run(
        [BASH, str(stubbed / "grid_search" / f"{name}_grid_search.sh"), "--output-dir", str(tmp_path),
         "--epochs", "3"], capture_output=True, text=True, check=False, env=environment(DRY_RUN="1"))
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    parsed = {program: [parse(words[2:]) for words in commands if Path(words[1]).name == program]
              for program, parse in PROGRAMS.items()}
    assert [args.sample_ratio for args in parsed["pretrain.py"]] == list(ratios)
    cells = [(args.model_type, args.data, args.optimizer, args.lr, args.batch_size, args.epochs,
              str(args.pretrained_model_path).partition("-ratio")[2].split("-")[0])
             for args in parsed["train.py"]]
    wanted = {(model_type, "cifar100", optimizer, lr, batch_size, 3, ratio)
              for optimizer in ("sgd", "adam") for lr in (0.1, 0.01, 0.001) for batch_size in batch_sizes
              for ratio in ([f"{ratio:g}" for ratio in ratios] or [""])}
    assert len(cells) == len(wanted) and set(cells) == wanted


def test_a_task_of_a_slurm_array_is_one_cell(tmp_path):
    """The script's own part; no Slurm is here to start it."""
    def commands(*command, **more):
        done = subprocess.run(
            [BASH, *command, "--output-dir", str(tmp_path)], capture_output=True, text=True, cwd=ROOT,
            check=True, env=environment(DRY_RUN="1", **more))
        return done.stdout.splitlines()

    grid = "grid_search/supervised_grid_search.sh"
    assert commands("grid_search/slurm_array.sh", grid, SLURM_ARRAY_TASK_ID="3") == commands(grid)[2:3]


@pytest.mark.skipif("SLURM" not in os.environ or not shutil.which("sbatch"),
                    reason="submits jobs: SLURM=1 asks for it, where there is a Slurm")
def test_arrays_of_a_real_slurm(tmp_path):
    """Pre-training as an array, cells as the next, which waits for it."""
    def submit(only, count, *options):
        done = subprocess.run(
            ["sbatch", "--parsable", f"--array=1-{count}", f"--output={tmp_path}/{only}-%a.out", *options,
             "grid_search/slurm_array.sh", "grid_search/self_supervised_pretrained_grid_search.sh",
             "--output-dir", str(tmp_path / "grid"), "--epochs", "2"],
            capture_output=True, text=True, cwd=ROOT, timeout=WAIT_SECONDS, check=True,
            env=environment(DATA="digits", RATIOS="0.2 0.4", OPTIMIZERS="adam", LRS="0.01", ONLY=only,
                            PRETRAIN_ARGS="--data digits --epochs 1 --knn-every 0"))
        return done.stdout.strip()

    first = submit("pretrain", 2)
    try:
        submit("cells", 2, "--wait", f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes")
    finally:
        said = "".join(path.read_text() for path in sorted(tmp_path.glob("*.out")))
    assert said.count("finished: 1 of 1 runs") == 4, said
    cells = tmp_path.glob("grid/res/SelfSupervisedPretrained_digits-adam-lr0.01-bs128-fromdigits-ratio0.?-*.csv")
    assert len(list(cells)) == 2


def check_kill(number, seed, whole, killed, epochs="2"):
    """A grid that is killed at a moment drawn with a seed goes on to the table of another that was not."""
    started = time.monotonic()
    status, out, err = whole.finish("--epochs", epochs, DEVICES="cpu cpu:0")
    assert status == 0 and "finished: 4 of 4 runs" in out, err
    duration = time.monotonic() - started
    devices = [yaml.safe_load(path.read_text())["flags"]["device"]
               for path in whole.folder.glob("checkpoint/*/*/config.yml")]
    assert set(devices) == {"cpu", "cpu:0"} and len(devices) == 4

    process = killed.start("--epochs", epochs)
    assert "4 of them to run" in process.stdout.readline()
    moment = random.Random(seed).uniform(0, 0.8) * duration
    print(f"seed {seed}: {signal.Signals(number).name} after {moment:.2f} s of {duration:.2f}")  # shown where it fails
    time.sleep(moment)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    rows = 1 + int(epochs)
    finished = {path: path.stat().st_mtime_ns for path in killed.folder.glob("res/*.csv")
                if len(path.read_text().splitlines()) == rows}
    for _ in range(9):  # a cell of a killed grid ends by itself and is somebody else's until then
        status, out, err = killed.finish("--epochs", epochs, JOBS="2")
        if "run by another grid" not in out:
            break
        time.sleep(duration / 4)
    assert status == 0, err
    assert killed.table() == whole.table() and len(whole.table()) == 4
    assert all(len(rows) == int(epochs) for rows in whole.table().values())
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    assert "4 cells, 0 of them to run" in killed.finish("--epochs", epochs)[1]


@pytest.mark.parametrize("seed", range(20 if SOAK else 2))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_grid_goes_on_to_the_same_table(number, seed, tmp_path, stubbed):
    check_kill(number, seed, Digits(tmp_path / "whole", stubbed), Digits(tmp_path / "killed", stubbed), "9")


def test_two_grids_share_the_cells_and_none_is_run_twice(grid):
    (grid.folder.parent / "wait").touch()
    first = grid.start(WAIT_WHILE_THERE_IS=str(grid.folder.parent / "wait"))
    wait_for(lambda: list(grid.folder.glob("checkpoint/*/*/config.yml")))
    running, = grid.folder.glob("checkpoint/*/*/config.yml")
    status, out, err = grid.finish()
    assert status == 0 and "finished: 3 of 4 runs" in out, out + err
    assert f"run by another grid: Supervised/{running.parent.name}" in out
    (grid.folder.parent / "wait").unlink()
    out, err = first.communicate(timeout=WAIT_SECONDS)
    assert first.returncode == 0 and "finished: 4 of 4 runs" in out, out + err


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_grid_of_real_cells_goes_on_to_the_same_table(number, tmp_path):
    check_kill(number, 0, Digits(tmp_path / "whole", ROOT), Digits(tmp_path / "killed", ROOT))


def test_a_real_cell_that_is_cut_off_is_resumed(tmp_path):
    """Once with the programs themselves: the signal reaches the cell, whose checkpoint the next start finds."""
    grid, lists = Digits(tmp_path / "grid", ROOT), {"OPTIMIZERS": "sgd", "LRS": "0.01"}
    process = grid.start("--epochs", "60", "--image-size", "8", "--checkpoint-minutes", "1e-9", **lists)
    wait_for(lambda: list(tmp_path.glob("grid/checkpoint/*/*/last.pth")))
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM and "cut off" in out
    before, = grid.table().values()
    assert len(before) < 60
    command, = grid.finish("--epochs", "60", "--image-size", "8", DRY_RUN="1", **lists)[1].splitlines()
    assert command.endswith("--resume")
    log, = tmp_path.glob("grid/checkpoint/*/*/log.txt")
    assert "stopped by SIGINT after a checkpoint" in log.read_text() and "--resume" in log.read_text()


def wait_for(condition):
    ending = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < ending, "waited in vain"
        time.sleep(0.02)


def test_wrong_input_stops_a_grid_before_its_first_cell(tmp_path, grid):
    for variables, message in (({"OPTIMIZERS": "sgd adma"}, "adma"), ({"LRS": "0.1 -1"}, "-1"),
                               ({"JOBS": "0"}, "JOBS=0"), ({"CELL": "9"}, "CELL=9"), ({"LRS": " "}, "no cells")):
        status, out, err = grid.finish(**variables)
        assert status in (1, 2) and message in err and len(err.splitlines()) == 1, (variables, err)
        assert not list(tmp_path.glob("grid/*"))

def test_any_flag_is_varied_also_without_pretraining(grid):
    """Of training and of pre-training, each combination once."""
    lists = {"OPTIMIZERS": "sgd", "LRS": "0.1", "DRY_RUN": "1"}
    status, out, err = grid.finish(**lists, VARY="--weight-decay 0,1e-4 --image-size 32,64")
    assert status == 0, err
    found = [parse_train(shlex.split(line)[2:]) for line in out.splitlines()]
    assert [(args.weight_decay, args.image_size) for args in found] == [(0, 32), (0, 64), (1e-4, 32), (1e-4, 64)]

    lists = {**lists, "RATIOS": "0.2 0.4", "PRETRAIN_ARGS": "--data digits --epochs 1", "VARY":
             "--temperature 0.1,0.5 --weight-decay 0,1e-4"}
    status, out, err = grid.finish(script="self_supervised_pretrained", **lists)
    commands = [shlex.split(line)[1:] for line in out.splitlines()]
    before = [parse_pretrain(words) for program, *words in commands if program.endswith("pretrain.py")]
    after = [parse_train(words) for program, *words in commands if program.endswith("train.py")
             and "pretrain" not in program]
    assert status == 0 and len({(args.sample_ratio, args.temperature) for args in before}) == len(before) == 4, err
    pairs = {(args.pretrained_model_path, args.weight_decay) for args in after}
    assert len(pairs) == len(after) == 8 and len({path for path, _ in pairs}) == 4


@pytest.mark.parametrize("vary, message", [
    ("--weight-decay", "expected flags and their values"), ("weight-decay 0,1", "weight-decay is no flag"),
    ("--wieght 0,1", "--wieght is no flag"), ("--weight-decay 0,x", "'x' is not a number"),
    ("--milestones 0.3,0.6", "commas are part of what --milestones means"), ("--std 1,1,1", "--std means"),
    ("--temperature 0.1,0.5", "--temperature is of pre-training"), ("--epochs 2,2", "two cells are the same run")])
def test_a_wrong_vary_is_one_line(grid, vary, message):
    status, out, err = grid.finish(OPTIMIZERS="sgd", LRS="0.1", VARY=vary)
    assert status in (1, 2) and out == "" and message in err and err.count("\n") == 1, err


def test_failed_cells_are_listed_with_their_reason(tmp_path, grid):
    status, out, err = grid.finish(OPTIMIZERS="sgd", LRS="0.001")
    assert status == 0, err
    log, = tmp_path.glob("grid/res/*.csv")
    log.unlink()
    log.mkdir()
    shutil.rmtree(tmp_path / "grid" / "checkpoint")
    status, out, err = grid.finish(OPTIMIZERS="sgd")
    failed, = [line for line in out.splitlines() if line.startswith("failed: ")]
    assert status == 1 and "Supervised/digits-sgd-lr0.001-bs16-labels0.3" in failed and "log.txt" in failed
    assert "finished: 1 of 2 runs" in out and "1 of 2 runs failed" in err


def failures(out):
    """Run name -> reason, from what a grid printed."""
    lines = [line for line in out.splitlines() if line.startswith("failed: ")]
    return dict(line.removeprefix("failed: ").split(": ", 1) for line in lines)


def test_a_missing_checkpoint_is_named(tmp_path, grid):
    missing = tmp_path / "nowhere.pth"
    status, out, _ = grid.finish("--pretrained-model-path", str(missing), script="supervised_pretrained", LRS="0.01")
    found = failures(out)
    assert status == 1 and len(found) == 2 and "finished: 0 of 2 runs" in out
    assert all(str(missing) in reason and "log.txt" in reason for reason in found.values()), found


def test_cells_do_not_start_from_half_trained_weights(tmp_path, grid):
    lists = {"RATIOS": "0.2", "OPTIMIZERS": "sgd", "LRS": "0.01", "PRETRAIN_ARGS": "--data digits --epochs 9"}
    one = {**lists, "PRETRAIN_ARGS": "--data digits --epochs 1"}
    grid.finish(script="self_supervised_pretrained", ONLY="pretrain", **one)
    weights, = tmp_path.glob("grid/checkpoint/SelfSupervisedPretraining/*/last.pth")
    status, out, _ = grid.finish(script="self_supervised_pretrained", ONLY="cells", **lists)
    (reason,) = failures(out).values()
    assert status == 1 and reason.startswith("its pre-training") and reason.endswith("has not finished")
    assert not list(tmp_path.glob("grid/res/SelfSupervisedPretrained_*"))
