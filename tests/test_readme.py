"""README.md and docs/: every command parses, every link leads somewhere, every flag is explained, the results are those
in res/."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import matplotlib
import pytest

import export
import predict
import report
import test
import utils
from records import results
from records.runs import PRETRAIN_COLUMNS, TRAIN_COLUMNS
from tests.common import ROOT
from tests.evidence import EVIDENCE, STUDY, TRACKED
from training.command_line import parse_pretrain, parse_train

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *(path for path in TRACKED if path.suffix == ".md")]
COMMANDS = [line for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.S)
            for line in block.replace("\\\n", " ").splitlines() if line]
PARSERS = {"pretrain.py": parse_pretrain, "train.py": parse_train, "test.py": test.parse, "predict.py": predict.parse,
           "export.py": export.parse}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_parses(command):
    words = [word for word in shlex.split(command) if not re.match("[A-Z_]+=", word)]
    if words[0] == "export":
        return
    first, second, *arguments = words
    if "--wrap" in words:
        words = words[words.index("--wrap") + 1].replace("$(", "").split()
    if "torchrun" in words:
        program = next(word for word in words if word.endswith(".py"))
        PARSERS[program](words[words.index(program) + 1:])
    elif "sbatch" in words:
        script, grid, *arguments = words[words.index("grid_search/slurm_array.sh"):]
        assert (ROOT / script).is_file() and (ROOT / grid).is_file()
        parse_train(["--model-type", "Supervised", *(word.strip(")") for word in arguments)])
    elif first == "python" and second != "report.py":
        PARSERS[second](arguments)
    elif first in ("bash", "python"):
        assert (ROOT / second).is_file()
    else:
        assert first == "tensorboard"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """To files that are here, and to headings as GitHub names them."""
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        heads = re.findall(r"^#+ (.+)$", target.read_text(), re.M) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, link


def test_every_flag_is_explained():
    text = (ROOT / "README.md").read_text()
    assert [name for name in utils.ARGUMENTS if f"`--{name.replace('_', '-')}`" not in text] == []


def test_every_column_is_explained():
    text = (ROOT / "README.md").read_text().partition("\n## What a run leaves\n")[2].partition("\n## ")[0]
    assert [name for name in (*TRAIN_COLUMNS, *PRETRAIN_COLUMNS) if f"`{name}`" not in text] == []


def draws_the_same():
    """Whether figures come out here as they were committed: matplotlib is the one that draws them."""
    pin = f'matplotlib=={matplotlib.__version__}; python_version >= "3.11"'
    return sys.version_info >= (3, 11) and pin in (ROOT / "requirements.txt").read_text().splitlines()


def test_results_and_figures_are_what_report_py_writes(tmp_path):
    study = tmp_path / "res" / "study"
    (study / "res").mkdir(parents=True)
    for path in TRACKED:
        if path.parent == STUDY / "res":
            shutil.copy(path, study / "res")
    shutil.copy(ROOT / "README.md", tmp_path)
    assert report.main(["--res", str(study / "res"), "--readme", str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_bytes() == (ROOT / "README.md").read_bytes(), "run report.py --readme"

    committed = {path.name: path.read_bytes() for path in TRACKED if path.parent == STUDY / "figures"}
    drawn = {path.name: path.read_bytes() for path in study.glob("figures/*")}
    assert set(drawn) == set(committed)
    if draws_the_same():
        assert [name for name in drawn if drawn[name] != committed[name]] == [], "run report.py --readme"


def said_by(command):
    """Whether a command is pretrain.py's, and the flags that it sets."""
    words = shlex.split(command)
    place = next(k for k, word in enumerate(words) if Path(word).name in PARSERS)
    return words[place] == "pretrain.py", vars(PARSERS[words[place]](words[place + 1:]))


def test_every_csv_of_the_study_has_the_command_and_the_settings_that_made_it():
    wrong = {}
    for path in EVIDENCE:
        config = results.read_config(path.with_suffix(".yml"))
        if path.with_suffix(".yml") not in TRACKED or "command" not in config:
            wrong[str(path)] = "no YAML file with its command beside it"
            continue
        pretraining, flags = said_by(config["command"])
        known = {**config["flags"], **{name: value for name, value in config["settings"].items() if value is not None
                                       and flags.get(name) not in (None, "auto")}}
        if known.get("knn_every") == known["epochs"]:  # no less often than at the last one
            del known["knn_every"]
        if pretraining and known.get("val_ratio") == 0:  # of digits that no training holds anything out of
            del known["val_ratio"]
        other = [name for name, value in known.items() if name in flags and str(flags[name]) != str(value)
                 and name not in ("resume", "overwrite")]  # commands are those of a start from nothing
        if other or pretraining != path.name.startswith("pretrain_"):
            wrong[str(path)] = f"its command says another {', '.join(other) or 'program'}"
    assert wrong == {} and EVIDENCE


def test_a_run_of_the_study_knows_the_pretraining_that_it_started_from():
    made = {str(results.read_config(path.with_suffix(".yml"))["settings"]) for path in EVIDENCE
            if path.name.startswith("pretrain_")}
    begun = [config["weights"]["run"]["settings"] for config in
             (results.read_config(path.with_suffix(".yml")) for path in EVIDENCE) if config["weights"]]
    assert begun and {str(settings) for settings in begun} <= made


def test_what_stands_beside_theirs_is_what_the_results_say():
    text = (ROOT / "README.md").read_text()
    said = {name: ours for name, ours in re.findall(r"^\| ([^|]+) \| [^|]+ \| (0[^|,]+)[^|]* \| [^|]+ \|$", text, re.M)}
    best = text.partition("### cifar100")[2].partition("\n\n![")[0]
    rows = {cells[0]: cells for cells in ([cell.strip() for cell in line.strip("|").split("|")]
                                          for line in best.splitlines() if line.startswith("|"))}
    column, over = map(rows["Method"].index, ("Test accuracy", "Test accuracy, ± over pre-trainings"))
    said_by_us = {method: cells[column] + (f" ± {cells[over]}" if cells[over] != "-" else "")
                  for method, cells in rows.items()}
    assert said == {name: said_by_us[method] for name, method in {
        "from scratch": "Supervised from scratch",
        "from scratch, 7x7 stem, 96 px": "Supervised from scratch, 7x7 stem",
        "SimCLR, fine-tuned": "Self-supervised pre-training, fine-tuned",
        "SimCLR, linear": "Self-supervised pre-training, linear",
        "with labels on the 60,000 images, fine-tuned": "Supervised pre-training, fine-tuned",
        "with labels on the 60,000 images, linear": "Supervised pre-training, linear"}.items()}


def test_the_summary_says_what_the_answer_in_words_says():
    text = " ".join((ROOT / "README.md").read_text().split())
    summary = text.partition("So, of these images and budgets: ")[2].partition("What else is to be known")[0]
    everything, tenth, hundredth = re.split(r"\*\*cifar100[^*]*\*\*", text.partition("### In words")[2])[1:4]
    with_labels, without, *worth = re.search(
        r"it gains ([\d.]+) points with labels and ([\d.]+) without.* worth ([\d.]+) times the labels .* and ([\d.]+)"
        r" times .* it is ([\d.]+) times and, for SimCLR, ([\d.]+) as a linear classifier but ([\d.]+) fine-tuned",
        summary).groups()
    same_network = everything.partition("Against that, ")[2]
    assert f'"Supervised pre-training, fine-tuned" is better by {with_labels} percentage points' in same_network
    assert f'"Self-supervised pre-training, fine-tuned" is better by {without} percentage points' in same_network
    needed = [re.search(rf'"{name}": better by [^"]* would need ([\d.]+) times', answer)[1] for answer, name in (
        (tenth, "Supervised pre-training, fine-tuned"), (tenth, "Self-supervised pre-training, fine-tuned"),
        (hundredth, "Supervised pre-training, fine-tuned"), (hundredth, "Self-supervised pre-training, linear"),
        (hundredth, "Self-supervised pre-training, fine-tuned"))]
    assert worth == needed


def test_the_demo_table_is_what_its_csvs_hold():
    rows = re.findall(r"^\| (.+) \| (\d\.\d+ ± \d\.\d+) \|$", (ROOT / "README.md").read_text(), re.M)
    found = {(result.setting.model_type, result.runs[0].planned): "{:.3f} ± {:.3f}".format(*result.test[:2])
             for result in results.read_results(STUDY / "demo" / "res") if not result.setting.pretraining}
    assert rows == [("self-supervised, linear", found.pop(("SelfSupervisedPretrained", 10))),
                    ("self-supervised, finetune", found.pop(("SelfSupervisedPretrainedFinetune", 10))),
                    ("supervised, linear", found.pop(("SupervisedPretrained", 10))),
                    ("supervised, finetune", found.pop(("SupervisedPretrainedFinetune", 10))),
                    ("from scratch", found.pop(("Supervised", 10))),
                    ("untrained backbone, linear", found.pop(("Untrained", 10))),
                    ("from scratch, 120 steps at a rate of 0.003", found.pop(("Supervised", 40)))] and not found
