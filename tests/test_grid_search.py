"""The five grids print exactly the cells of their tables, as commands that parse."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pretrain
import train

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"train.py": train, "pretrain.py": pretrain}
GRIDS = {  # script: (model type, batch sizes, sample ratios)
    "supervised": ("Supervised", (32, 64, 128, 256), ()),
    "supervised_pretrained": ("SupervisedPretrained", (128,), ()),
    "supervised_pretrained_finetune": ("SupervisedPretrainedFinetune", (32, 64, 128, 256), ()),
    "self_supervised_pretrained": ("SelfSupervisedPretrained", (128,), (0.1, 0.3, 0.5, 1.0)),
    "self_supervised_pretrained_finetune":
        ("SelfSupervisedPretrainedFinetune", (128,), (0.1, 0.3, 0.5, 1.0)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_dry_run_prints_the_cells(name, tmp_path):
    model_type, batch_sizes, ratios = GRIDS[name]
    done = subprocess.run(
        ["bash", str(ROOT / "grid_search" / f"{name}_grid_search.sh"), "--output-dir", str(tmp_path),
         "--epochs", "3"], capture_output=True, text=True, check=False,
        env={**os.environ, "DRY_RUN": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    parsed = {program: [module.parse(words[2:]) for words in commands if words[1] == program]
              for program, module in PROGRAMS.items()}
    assert [args.sample_ratio for args in parsed["pretrain.py"]] == list(ratios)
    cells = [(args.model_type, args.data, args.optimizer, args.lr, args.batch_size, args.epochs,
              str(args.pretrained_model_path).partition("-ratio")[2].split("/")[0])
             for args in parsed["train.py"]]
    wanted = {(model_type, "cifar100", optimizer, lr, batch_size, 3, ratio)
              for optimizer in ("sgd", "adam") for lr in (0.1, 0.01, 0.001) for batch_size in batch_sizes
              for ratio in ([f"{ratio:g}" for ratio in ratios] or [""])}
    assert len(cells) == len(wanted) and set(cells) == wanted


def test_a_task_of_a_slurm_array_is_one_cell(tmp_path):
    """The script's own part; no Slurm is here to start it."""
    def commands(*command, **more):
        done = subprocess.run(
            ["bash", *command, "--output-dir", str(tmp_path)], capture_output=True, text=True, cwd=ROOT,
            check=True, env={**os.environ, "DRY_RUN": "1", **more,
                             "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
        return done.stdout.splitlines()

    grid = "grid_search/supervised_grid_search.sh"
    assert commands("grid_search/slurm_array.sh", grid, SLURM_ARRAY_TASK_ID="3") == commands(grid)[2:3]
