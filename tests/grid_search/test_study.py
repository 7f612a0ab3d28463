"""The tables that stand beside the study, in res/study/README.md, are what its CSVs hold."""

import re

import pytest

from records import results
from records.setting import BEHIND
from tests.common import ROOT
from tests.evidence import STUDY

KINDS = {"from scratch, 3x3 stem, rate 0.2": ("Supervised", "3x3", 0.2), "from scratch": ("Supervised", "3x3", 0.2),
         "from scratch, 7x7 stem": ("Supervised", "7x7", None), "untrained, linear": ("Untrained", "7x7", None),
         "SimCLR, fine-tuned": ("SelfSupervisedPretrainedFinetune", "7x7", None),
         "SimCLR, linear": ("SelfSupervisedPretrained", "7x7", None),
         "with labels, fine-tuned": ("SupervisedPretrainedFinetune", "7x7", None),
         "with labels, linear": ("SupervisedPretrained", "7x7", None)}
MAIN, LONGER, RATES = (results.read_results(STUDY / part) for part in ("res", "longer/res", "rates/res"))


def tables(head):
    """The rows of cells, without heads, of the tables below a heading."""
    part = (STUDY / "README.md").read_text().partition(f"## {head}\n")[2].partition("\n## ")[0]
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", part, re.M):
        found.append([[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()[2:]])
    return found


def epochs_of(result):
    """Of the pre-training behind a network, None without one; and of training."""
    return result.setting.told(f"{BEHIND}epochs"), result.runs[0].planned


def on_gpu(result):
    return "H200" in result.runs[0].config["machine"]


def cell(result, measure):
    spread = measure.std if measure.between is None else measure.between
    count = result.pretrainings or len(result.counted)
    return f"{measure.mean:.4f}" + (f" ± {spread:.4f}" if spread is not None and count > 1 else "") + f" ({count})"


def of_kind(name, labels, among):
    """The results of a row, at the rate of the table."""
    kind, stem, rate = KINDS[name]
    return [result for result in among if (result.setting.model_type, result.setting.told("stem")) == (kind, stem)
            and result.setting.labels == float(labels) and rate in (None, result.setting.lr)
            and result.setting.ratio in (None, 1)]


@pytest.mark.parametrize("row", tables("On one H200 and on two CPU cores")[0], ids=lambda row: " ".join(row[:2]))
def test_two_cores_and_a_gpu_gave_what_the_table_says(row):
    name, labels, before, now = row
    found, = of_kind(name, labels, MAIN)
    same, = [result for result in of_kind(name, labels, RATES) if not on_gpu(result)
             and (result.setting.lr, epochs_of(result)) == (found.setting.lr, epochs_of(found))]
    assert on_gpu(found) and [cell(same, same.test), cell(found, found.test)] == [before, now]


@pytest.mark.parametrize("row", tables("What a larger budget gives")[0], ids=lambda row: " ".join(row[:3]))
def test_a_larger_budget_gave_what_the_table_says(row):
    name, labels, epochs, *said = row
    found, = [result for result in of_kind(name, labels, MAIN + LONGER)
              if epochs == (epochs_of(result)[0] or str(epochs_of(result)[1]))]
    assert [cell(found, found.val), cell(found, found.test)] == said


def test_what_the_readme_says_of_larger_budgets_stands_in_the_table():
    text = (ROOT / "README.md").read_text()
    said = re.findall(r"; (\d+)(?: epochs of pre-training)? give (0\.\d+(?: ± 0\.\d+)?)", text)
    table = {(epochs, test.partition(" (")[0]) for _, _, epochs, _, test in tables("What a larger budget gives")[0]}
    assert len(said) == 2 and set(said) <= table


def test_the_rates_of_the_3x3_stem_are_what_their_csvs_hold():
    rates, said = ("0.01", "0.03", "0.1", "0.2", "0.4"), {}
    for what, *cells in tables("Rates and budgets of whole networks")[2]:
        said.update({(what, rate): accuracy for rate, accuracy in zip(rates, cells) if accuracy})
    found = {}
    for seeds, among in (("", RATES), (" (three seeds)", MAIN)):
        for result in among:
            setting = result.setting
            if setting.told("stem") == "3x3" and on_gpu(result):
                what = f"{setting.labels:g}, {epochs_of(result)[1]}{seeds}"
                found[what, f"{setting.lr:g}"] = f"{result.val.mean:.3f}"
                assert len(result.counted) == (3 if seeds else 1)
    assert said == found and said
