"""The study and the search of its recipe: the scripts are those that made what lies in res/, whose tables are right."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pretrain
import results
import train
from tests.evidence import EVIDENCE, ROOT, TRACKED

SCRIPT = (ROOT / "grid_search" / "recipe.sh").read_text()
NAMES = [line.split()[0] for line in re.search("<<'END'\n(.*)\nEND\n", SCRIPT, re.S).group(1).splitlines()]
ROWS = dict(re.findall(r"^\| `(\S+)` \|(.*)\|$", (ROOT / "res" / "README.md").read_text(), re.M))


def test_the_script_the_table_and_the_evidence_name_the_same_changes():
    assert len(set(NAMES)) == len(NAMES)
    assert list(ROWS) == [name for name in NAMES if name in ROWS], "in the order of the script"
    folders = {path.relative_to(ROOT / "res" / "recipe").parts[0] for path in TRACKED
               if path.is_relative_to(ROOT / "res" / "recipe")}
    assert set(ROWS) == set(NAMES) == folders


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table_is_what_its_csvs_hold(name):
    runs = results.read_runs(ROOT / "res" / "recipe" / name / "res")
    [trained] = [run.rows for run in runs if not run.setting.pretraining]
    pretraining = [run.rows[-1:] for run in runs if run.setting.pretraining]
    values = [*(value for last in pretraining for column in ("contrast_accuracy", "knn_accuracy")
                for value in results.written(last, column)), results.choose_epoch(trained)["val_accuracy"]]
    assert re.findall(r"\d\.\d+", ROWS[name]) == [f"{value:.3f}" for value in values]


def settings(command):
    _, name, *arguments = shlex.split(command)
    return str({"train.py": train, "pretrain.py": pretrain}[name].parse(arguments))


@pytest.mark.parametrize("script, changes", [
    ("study", []),
    ("recipe", ["labels-crop0.5", "simclr-lr3e-4-seed1", "scratch-3x3", "finetune-decay", "finetune-all", "linear-sgd"])])
def test_the_script_prints_the_commands_that_made_the_evidence(script, changes, tmp_path):
    """In a copy without results, where nothing counts as done. recipe: a change by each function of the script."""
    code = ["*.py", "conf", "data/*.py", "grid_search", "self_supervised_pretrained", "supervised*"]
    for path in (path for name in code for path in ROOT.glob(name)):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    done = subprocess.run(
        ["bash", f"grid_search/{script}.sh", *changes], capture_output=True, text=True, cwd=tmp_path, check=True,
        env={**os.environ, "DRY_RUN": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    folders = [ROOT / "res" / "recipe" / name / "res" for name in changes] or [ROOT / "res"]
    made = [results.read_config(path.with_suffix(".yml"))["command"] for path in EVIDENCE if path.parent in folders]
    assert set(map(settings, done.stdout.splitlines())) == set(map(settings, made))


def test_an_unknown_change_stops_the_script():
    done = subprocess.run(["bash", str(ROOT / "grid_search" / "recipe.sh"), "labels", "simclr-temp9"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no change simclr-temp9\n")
