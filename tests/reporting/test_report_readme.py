"""reporting/readme.py: what the results section says, on CSVs and YAML files made here."""

import math
import re

import pytest

import report
from conf.methods import MODEL_TYPES
from records import runs
from records.setting import parse_name
from reporting import readme
from reporting.readme import END, NOTHING, START
from tests.csv_runs import NAME, behind, epoch, made_from, write_predicted, write_run

LINEAR = "SupervisedPretrained_cifar100-sgd-lr0.1-bs128"
SIMCLR = "SelfSupervisedPretrainedFinetune_cifar100-sgd-lr0.1-bs128"
PRETRAINED = "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.001-bs64-ratio"
PLACE = {"machine": "Abacus, 2 beads", "threads": 2, "processes": 1, "commit": "0123456789abcdef",
         "versions": {"python": "3", "torch": "9.9"}}


def write(res, name, epochs, /, weights=None, place=PLACE, **settings):
    """A run whose old name tells its settings, too; one with a ratio in it starts from a pre-training of ours."""
    columns = runs.PRETRAIN_COLUMNS if name.startswith("pretrain_") else runs.TRAIN_COLUMNS
    setting = parse_name(name)[0]
    if setting.ratio and not setting.pretraining:
        weights = behind(sample_ratio=setting.ratio, model_type=MODEL_TYPES[setting.model_type].pretraining)
    made = made_from(name, weights, **{"epochs": len(epochs), **settings})
    write_run(res, name, epochs, columns=columns, made={**made, **place})


def section(folder):
    """Write the results into a README. Returns: the lines between the marks, a paragraph in one."""
    path = folder / "README.md"
    if not path.exists():
        path.write_text(f"# Über\n\n{START}\nold\n{END}\n\nafter\n", encoding="utf-8")
    assert report.main(["--res", str(folder / "res"), "--readme", str(path)]) == 0
    before, rest = path.read_text("utf-8").split(START)
    lines, after = rest.split(END)
    assert (before, after) == ("# Über\n\n", "\n\nafter\n")
    assert all(len(line) <= 120 for line in lines.splitlines() if not line.startswith("|"))
    return re.sub(r"(?m)^(?![|#!])(.+)\n(?=[^|#!\n])", r"\1 ", lines.strip()).splitlines()


def row(lines, start):
    """The cells of the lines of a table that start so, without their padding."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith(f"| {start}")]


@pytest.fixture
def study(tmp_path):
    """Both kinds of pre-training at two sampling ratios, from scratch at two label ratios."""
    res = tmp_path / "res"
    for ratio, top in (("0.1", 0.4), ("1", 0.5)):
        write(res, PRETRAINED + ratio, [{"loss": 3, "knn_accuracy": 0.2}, {"loss": 2.5, "knn_accuracy": top / 2}],
              knn_data="cifar100", image_size=48)
        for seed, more in (("", 0), ("-seed1", 0.02)):
            write(res, f"{LINEAR}-ratio{ratio}{seed}", [epoch(top + more, top + more - 0.01)] * 3)
        write(res, f"{SIMCLR}-ratio{ratio}", [epoch(top + 0.1, top)], image_size=48)
    write(res, NAME, [epoch(0.3, 0.31)] * 2)
    write(res, NAME + "-labels0.1", [epoch(0.2, 0.21)] * 2)
    write(res, "Supervised_digits-sgd-lr0.1-bs8", [epoch(0.9, 0.9)])
    return tmp_path


def test_the_tables_say_what_validation_chose(study):
    lines = section(study)
    best, by_ratio, *_ = row(lines, "Supervised pre-training, linear")
    assert "All rows: sgd, learning rate 0.1, batch size 128, pre-training sample ratio 1 where there is one." in lines
    assert best[1:] == ["32", "0.5000 ± 0.0141", "0.5100 ± 0.0141", "3/3", "2", "0:01:30"]
    assert by_ratio[1:] == ["-", "0.4000 ± 0.0141 (2)", "0.5000 ± 0.0141 (2)"]
    scratch, by_ratio, by_labels = row(lines, "Supervised from scratch")
    assert scratch[2] == "0.3100" and by_ratio[1:] == ["0.3100 (1)", "-", "-"]
    assert by_labels[1:] == ["0.2100 (1)", "0.3100 (1)", "-"]
    assert row(lines, "Self-supervised (SimCLR), imagenet")[1][1:] == ["1", "2.5000", "0.2500", "1", "0:01:00"]
    assert not any("digits" in line or "Status" in line for line in lines)


def test_the_scale_is_that_of_all_runs(study):
    assert section(study)[0] == (
        "**Scale.** 10 runs, 0:11:00 (h:mm:ss) of epochs in all. Pre-training on imagenet: 2 epochs at 48 px. Training "
        "on cifar100: 1, 2 and 3 epochs at 32 px and 48 px. Abacus, 2 beads (2 threads). PyTorch 9.9. Commit 0123456.")


def test_several_machines_commits_and_unknown_settings_are_told(study):
    write(study / "res", NAME + "-seed1", [epoch(0.3, 0.3)],
          place={**PLACE, "machine": "Loom", "threads": 1, "processes": 4, "commit": "fedcba9876+"})
    (study / "res" / f"{NAME}.yml").write_text("[")
    (study / "res" / f"{NAME}-labels0.1.yml").unlink()
    line = section(study)[0]
    assert "Abacus, 2 beads (2 threads): 8 runs; Loom (1 thread, 4 processes): 1 run." in line
    assert "Commit 0123456 and fedcba9+" in line and "2 runs without settings" in line


def test_a_run_that_went_on_elsewhere_is_of_both_machines_and_commits(study):
    write(study / "res", NAME + "-seed1", [epoch(0.3, 0.3)],
          place={**PLACE, "resumed": [{"machine": "Loom", "commit": "fedcba9876"}, {"machine": "Abacus, 2 beads"}]})
    line = section(study)[0]
    assert "Abacus, 2 beads (2 threads) then Loom (2 threads): 1 run." in line
    assert "Commit 0123456 and fedcba9" in line


def test_links_are_relative_and_the_same_results_give_the_same_bytes(study):
    def files():
        return {path: path.read_bytes() for path in [study / "README.md", *study.glob("figures/*")]}

    (study / "figures").mkdir()
    (study / "figures/old.png").write_bytes(b"")
    lines = section(study)
    links = re.findall(r"!\[.+\]\((.*)\)", "\n".join(lines))
    assert sorted(links) == sorted(f"figures/{path.name}" for path in study.glob("figures/*"))
    assert links == [f"figures/cifar100_{name}.png" for name in ("best", "curves", "ratio", "labels")]
    before = files()
    assert section(study) == lines and files() == before


def test_imagenet_weights_are_told_from_our_own_pretraining(study):
    write(study / "res", LINEAR, [epoch(0.7, 0.7)], weights={"digest": "w", "from": "imagenet", "run": None})
    lines = section(study)
    assert [len(row(lines, name)) for name in (
        "ImageNet weights, linear", "Supervised pre-training, linear")] == [3, 3]


def test_with_predictions_it_says_which_method_is_better(tmp_path):
    for name, right in ((NAME, 60), (f"{SIMCLR}-ratio1", 90)):
        for seed in range(3):
            own = f"{name}-seed{seed}" if seed else name
            made = made_from(own, behind() if "ratio" in name else None)
            path = write_run(tmp_path / "res", own, [epoch(right / 100, right / 100)], made=made)
            write_predicted(path, made, [place < right for place in range(100)])
    lines = section(tmp_path)
    assert "### In words" in lines
    line, = (line for line in lines if line.startswith('- "Self-supervised pre-training, fine-tuned": better by 30.0'))
    assert "interval: 20.6 to 39.4" in line and "training took 0.5 min after a pre-training" in " ".join(line.split())


def test_unfinished_and_diverged_runs_are_marked(study):
    write(study / "res", f"{LINEAR}-ratio1-seed2", [epoch(0.5, 0.5)], epochs=3)
    for ratio in ("0.1", "1"):
        write(study / "res", f"{SIMCLR}-ratio{ratio}", [epoch(0.5, 0.5, train_loss=math.nan)])
    lines = section(study)
    best, by_ratio, _ = row(lines, "Supervised pre-training, linear")
    assert "1/3" in best and best[-1] == "unfinished (1 of 3)" and by_ratio[-1].endswith("(2)*")
    best, by_ratio, _ = row(lines, "Self-supervised pre-training, fine-tuned")
    assert best[1] == "-" and best[-1] == "diverged" and by_ratio[1:] == ["-", "diverged", "diverged"]


@pytest.mark.parametrize("names", [(), ("Supervised_digits-sgd-lr0.1-bs8",)])
def test_without_results_it_says_so(tmp_path, names):
    for name in names:
        write_run(tmp_path / "res", name, [epoch(0.5, 0.5)])
    assert section(tmp_path) == [NOTHING] and not list(tmp_path.glob("figures/*"))


@pytest.mark.parametrize("text", ["", START, END + START, START + END + START, START + END + END, START + START + END])
def test_a_readme_without_the_two_marks_stays(study, capsys, text):
    (study / "README.md").write_text(text)
    assert report.main(["--res", str(study / "res"), "--readme", str(study / "README.md")]) == 1
    assert (study / "README.md").read_text() == text and not (study / "figures").exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_it_shows_all_runs_or_none(study, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["--readme", str(study / "README.md"), "--data", "cifar100"])
    assert stop.value.code == 2 and "--res alone" in capsys.readouterr().err


@pytest.mark.parametrize("values, expected", [
    ({20, 3, 100}, "3, 20 and 100"), ({"b", "a"}, "a and b"), ({32}, "32"),
    ({"default size", 64, 32}, "32, 64 and default size")])
def test_listing(values, expected):
    assert readme.listing(values) == expected


def test_what_is_solved_has_penalties_and_neither_rate_nor_batches(tmp_path):
    """What the others have in common is said all the same."""
    write(tmp_path / "res", PRETRAINED + "1", [{"loss": 2.5, "rankme": 227.85}])
    write(tmp_path / "res", f"{LINEAR}-ratio1", [epoch(0.5, 0.5)] * 11, optimizer="lbfgs")
    write(tmp_path / "res", f"{SIMCLR}-ratio1", [epoch(0.6, 0.6)] * 4)
    write(tmp_path / "res", NAME, [epoch(0.3, 0.3)] * 4)
    lines = section(tmp_path)
    assert any(line.startswith("All rows: learning rate 0.1 where there is one, batch size 128 where there is one, ")
               for line in lines)
    solved, = row(lines, "Supervised pre-training, linear")
    assert "11/11 penalties" in solved and "4/4" in row(lines, "Supervised from scratch")[0]
    assert any("Training on cifar100: 4 epochs, 11 penalties at 32 px" in line for line in lines)
    assert "228" in row(lines, "Self-supervised (SimCLR), imagenet")[0]
