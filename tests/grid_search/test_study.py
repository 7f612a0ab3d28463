"""The tables that stand beside the study, in res/study/README.md, are what its CSVs hold."""

import re
from collections import Counter

import pytest

from records import results
from records.setting import BEHIND
from tests.common import ROOT
from tests.evidence import STUDY

KINDS = {"from scratch, 3x3 stem": ("Supervised", "3x3", 0.2),
         "from scratch, 7x7 stem": ("Supervised", "7x7", None), "untrained, linear": ("Untrained", "7x7", None),
         "SimCLR, fine-tuned": ("SelfSupervisedPretrainedFinetune", "7x7", None),
         "SimCLR, linear": ("SelfSupervisedPretrained", "7x7", None),
         "with labels, fine-tuned": ("SupervisedPretrainedFinetune", "7x7", None),
         "with labels, linear": ("SupervisedPretrained", "7x7", None)}
MAIN, LONGER, RATES = (results.read_results(STUDY / part) for part in ("res", "longer/res", "rates/res"))


def tables(head):
    """The rows of cells, their heads first, of the tables below a heading."""
    part = (STUDY / "README.md").read_text().partition(f"## {head}\n")[2].partition("\n## ")[0]
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", part, re.M):
        heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()]
        found.append([heads, *rows])
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


def test_the_images_are_laid_out_as_the_snippet_says(tmp_path, monkeypatch):
    snippet = re.search(r"```python\n(.*?)```", (STUDY / "README.md").read_text(), re.S)[1]
    copied = []
    monkeypatch.setattr("shutil.copy", lambda file, folder: copied.append((file, folder.name)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "res/study").mkdir(parents=True)
    (tmp_path / "res/study/imagenet.txt").write_text((STUDY / "imagenet.txt").read_text())
    exec(snippet, {})
    classes = Counter(name for _, name in copied)
    assert len(set(copied)) == 60000 and len(classes) == 200 and set(classes.values()) == {300}
    assert all(f"/{name}_" in file for file, name in copied)


@pytest.mark.parametrize("row", tables("On one H200 and on two CPU cores")[0][1:], ids=lambda row: " ".join(row[:2]))
def test_two_cores_and_a_gpu_gave_what_the_table_says(row):
    name, labels, before, now = row
    found, = of_kind(name, labels, MAIN)
    same, = [result for result in of_kind(name, labels, RATES) if not on_gpu(result)
             and (result.setting.lr, epochs_of(result)) == (found.setting.lr, epochs_of(found))]
    assert on_gpu(found) and [cell(same, same.test), cell(found, found.test)] == [before, now]


def test_how_well_two_cores_and_a_gpu_agree_is_what_the_table_says():
    rows = [[[float(number) for number in re.findall(r"[\d.]+", text)] for text in row[2:]]
            for row in tables("On one H200 and on two CPU cores")[0][1:]]
    once = sum(before[-1] == 1 for before, _ in rows)
    apart = max(abs(before[0] - now[0]) for before, now in rows)
    said = " ".join((ROOT / "README.md").read_text().split())
    assert (len(rows), once) == (17, 9) and "17 of the rows had run there, too, nine of them once; " in said
    assert f"they differ by at most {100 * apart:.1f} points" in said


def test_what_ran_twice_on_the_gpu_differs_by_what_the_readme_says():
    found = {run.csv.name: results.choose_epoch(run.rows)["val_accuracy"]
             for run in results.read_runs(STUDY / "rates/res") if "H200" in run.config["machine"]}
    again = {run.csv.name: results.choose_epoch(run.rows).get("val_accuracy")
             for run in results.read_runs(STUDY / "res")}
    apart = sorted((round(abs(found[name] - again[name]), 3) for name in {*found} & {*again}), reverse=True)
    said = " ".join((ROOT / "README.md").read_text().split())
    assert "two that ran twice differed by {:.3f} and {:.3f} on validation".format(*apart) in said and len(apart) == 2


def test_one_pretraining_with_labels_is_behind_the_others_by_what_the_readme_says():
    behind = []
    for result in (result for result in MAIN if result.setting.model_type == "SupervisedPretrained"
                   and result.setting.ratio == 1):
        means = {}
        for run, row in result.counted:
            means.setdefault(run.behind, []).append(row["test_accuracy"])
        low, *others = sorted(sum(values) / len(values) for values in means.values())
        behind += [100 * (other - low) for other in others]
    for page in (ROOT / "README.md", STUDY / "README.md"):
        said = f"gave linear classifiers {min(behind):.1f} to {max(behind):.1f} points behind the other two"
        assert said in " ".join(page.read_text().split())


@pytest.mark.parametrize("row", tables("What a larger budget gives")[0][1:], ids=lambda row: " ".join(row[:3]))
def test_a_larger_budget_gave_what_the_table_says(row):
    name, labels, epochs, *said = row
    found, = [result for result in of_kind(name, labels, MAIN + LONGER)
              if epochs == (epochs_of(result)[0] or str(epochs_of(result)[1]))]
    assert [cell(found, found.val), cell(found, found.test)] == said


def test_what_the_readme_says_of_larger_budgets_stands_in_the_table():
    table = {(name, epochs): test.partition(" (")[0] for name, labels, epochs, _, test
             in tables("What a larger budget gives")[0] if labels == "1"}
    text = (ROOT / "README.md").read_text()
    assert f"; 36, at half the rate, give {table['from scratch, 3x3 stem', '36']} |" in text
    assert f"of batches of 256, give {table['SimCLR, linear', '120']} (one run) |" in text


def test_the_rates_of_two_cores_are_what_their_csvs_hold():
    """Of the trials of four epochs, and the best of these at full length."""
    found = {}
    for heads, *rows in tables("Rates and budgets of whole networks")[:2]:
        found.update({(row[0], name): cell for row in rows for name, cell in zip(heads[1:], row[1:]) if cell})
    names = {("SelfSupervisedPretrainedFinetune", "40"): "SimCLR, fine-tuned",
             ("SupervisedPretrainedFinetune", "20"): "with labels (20 epochs), fine-tuned",
             ("SupervisedPretrainedFinetune", "40"): "with labels, fine-tuned",
             ("Supervised", None): "from scratch, 7x7 stem"}
    made, tried, chosen = {}, {}, []
    seeds = {"with labels, fine-tuned": "1"}  # else 0
    few = {**seeds, "SimCLR, fine-tuned": "1", "from scratch, 7x7 stem": "0"}
    for run in (run for part in ("rates/res", "half/res") for run in results.read_runs(STUDY / part)):
        name = names.get((run.setting.model_type, run.setting.told(f"{BEHIND}epochs")))
        score = results.choose_epoch(run.rows).get("val_accuracy")
        if name is None or run.setting.told("stem") == "3x3":
            continue
        if run.setting.labels < 1 and run.seed == few.get(name):
            made[f"{name}, {run.setting.labels:g}", f"{run.setting.lr:g}"] = f"{score:.3f}"
        elif run.setting.labels == 1 and run.seed == seeds.get(name, "0"):
            made[name, "18 at " * (run.planned == 18) + f"{run.setting.lr:g}"] = f"{score:.3f}"
            if run.planned == 18:
                chosen.append((run.setting.model_type, run.setting.lr))
            else:
                tried.setdefault(run.setting.model_type, {})[run.setting.lr] = score
    assert found
    assert found == made
    assert all(tried[kind][rate] > max(tried[kind].values()) - 0.01 for kind, rate in chosen), "the best in the trials"


def test_the_rates_of_the_3x3_stem_are_what_their_csvs_hold():
    (_, *rates), *_ = tables("Rates and budgets of whole networks")[2]
    said = {}
    for what, *cells in tables("Rates and budgets of whole networks")[2][1:]:
        said.update({(what, rate): accuracy for rate, accuracy in zip(rates, cells) if accuracy})
    found = {}
    for seeds, among in (("", RATES), (" (three seeds)", MAIN)):
        for result in among:
            setting = result.setting
            if setting.told("stem") == "3x3" and on_gpu(result):
                what = f"{setting.labels:g}, {epochs_of(result)[1]}{seeds}"
                found[what, f"{setting.lr:g}"] = f"{result.val.mean:.3f}"
                assert len(result.counted) == (3 if seeds else 1)
    assert found
    assert said == found
