"""The study and the search of its recipe: the scripts are those that made what lies in res/, whose tables are right."""

import re
import shlex
import statistics
import subprocess

import pytest

from records import results
from tests.common import BASH, ROOT, copy_code, environment, stub_made_from
from tests.evidence import EVIDENCE, STUDY, TRACKED
from training.command_line import parse_pretrain, parse_train

PARTS = ("res", "rates/res", "longer/res", "half/res")
LIST = re.search("<<'END'\n(.*)\nEND\n", (ROOT / "grid_search" / "recipe.sh").read_text(), re.S).group(1)
CHANGES = [(line.split()[0], " ".join(line.split()[2:])) for line in LIST.splitlines()]
ROWS = [(name, [cell.strip() for cell in cells.split("|")])
        for name, cells in re.findall(r"^\| `(\S+)` \|(.*)\|$", (STUDY / "README.md").read_text(), re.M)]


def test_the_script_the_tables_and_the_evidence_name_the_same_changes():
    names = [name for name, _ in CHANGES]
    folders = {path.relative_to(STUDY / "recipe").parts[0] for path in TRACKED
               if path.is_relative_to(STUDY / "recipe")}
    assert len(set(names)) == len(names) and set(names) == folders
    assert sorted(names) == sorted(name for name, _ in ROWS)


@pytest.mark.parametrize("name, options", CHANGES)
def test_a_row_of_the_tables_is_what_its_csvs_hold(name, options):
    runs = results.read_runs(STUDY / "recipe" / name / "res")
    found = [results.choose_epoch(run.rows)["val_accuracy"] for run in runs if not run.setting.pretraining]
    spread = f" ± {statistics.stdev(found):.3f}" if len(found) > 1 else ""
    cells = [f"{statistics.fmean(found):.3f}{spread}"]
    for run in runs:
        if run.setting.pretraining:
            last = run.rows[-1]
            cells = ["" if last[column] is None else f"{last[column]:.3f}"
                     for column in ("contrast_accuracy", "knn_accuracy")] + cells
    assert dict(ROWS)[name] == cells
    assert any(options in run.config["command"] for run in runs)
    assert all(run.rows[-1]["epoch"] == run.planned for run in runs)


def settings(command):
    """What a command says, but for folders, which have moved since, as runs have other names, and for the device."""
    _, name, *arguments = shlex.split(command)
    args = vars({"train.py": parse_train, "pretrain.py": parse_pretrain}[name](arguments))
    path = args.pop("pretrained_model_path", None)
    del args["device"]
    *_, above, folder = "", "", *args.pop("output_dir").parts
    return str((args, path and path.parts[-3], folder if above == "recipe" else ""))


@pytest.mark.parametrize("script, changes", [
    ("study", []),
    ("recipe", ["labels-crop0.5", "simclr-lr3e-4-seed1", "scratch-3x3", "finetune-decay", "finetune-all",
                "linear-sgd", "growing", "growing-labels", "growing-linear-96px", "tuned-96px"])])
def test_the_script_prints_the_commands_that_made_the_evidence(script, changes, tmp_path):
    """In a copy without results, where nothing counts as done. recipe: a change by each function of the script."""
    copy_code(tmp_path)
    stub_made_from(tmp_path)
    (tmp_path / "data/imagenet").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [BASH, f"grid_search/{script}.sh", *changes], capture_output=True, text=True, cwd=tmp_path, check=True,
        env=environment(DRY_RUN="1"))
    folders = [STUDY / "recipe" / name / "res" for name in changes] or [STUDY / part for part in PARTS]
    made = [results.read_config(path.with_suffix(".yml"))["command"] for path in EVIDENCE if path.parent in folders]
    printed, made = set(map(settings, done.stdout.splitlines())), set(map(settings, made))
    assert made == printed


def test_the_study_says_once_that_its_images_are_missing(tmp_path):
    copy_code(tmp_path)
    done = subprocess.run([BASH, "grid_search/study.sh"], capture_output=True, text=True, check=False, cwd=tmp_path,
                          env=environment(DRY_RUN="1"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: no images at data/imagenet\n")


def test_an_unknown_change_stops_the_script():
    done = subprocess.run([BASH, str(ROOT / "grid_search" / "recipe.sh"), "simclr-temp9"],
                          capture_output=True, text=True, check=False, env=environment(DRY_RUN="1"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no change simclr-temp9\n")


def test_the_seeds_from_scratch_in_few_epochs_are_what_their_csvs_hold():
    runs = results.read_runs(STUDY / "rates" / "res", "Supervised_cifar100-sgd-lr0.2-bs128*epochs18")
    text = (STUDY / "README.md").read_text()
    rows = [tuple(cells) for cells in re.findall(r"^\| seed (\d) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|", text, re.M)]
    chosen = [results.choose_epoch(run.rows) for run in runs]
    assert len({run.setting for run in runs}) == 1 and all(row["epoch"] == 18 for row in chosen)
    assert rows == [(f"{run.seed}", f"{row['val_accuracy']:.4f}", f"{row['test_accuracy']:.4f}",
                     f"{run.config['threads']}") for run, row in zip(runs, chosen)]
    assert rows
