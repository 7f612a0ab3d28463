"""res/README.md: the tables of how the recipe was found hold what lies in res/recipe, all of it."""

import csv
import re
from pathlib import Path

import pytest

from tests.test_readme import ROOT, TRACKED

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
    pretraining, rows = [], []
    for path in (ROOT / "res" / "recipe" / name / "res").glob("*.csv"):
        with path.open(newline="") as file:
            (pretraining if path.name.startswith("pretrain_") else rows).append(list(csv.DictReader(file)))
    [trained] = rows
    values = [max(float(row["val_accuracy"]) for row in trained)]
    if pretraining:
        [[*_, last]] = pretraining
        values = [float(last[column]) for column in ("contrast_accuracy", "knn_accuracy") if last[column]] + values
    assert re.findall(r"\d\.\d+", ROWS[name]) == [f"{value:.3f}" for value in values]
