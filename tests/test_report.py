"""report.py: what is chosen, what is marked, what is written; on CSVs made here."""

import csv
import itertools
import math
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import report
from records import runs
from records.setting import parse_name
from reporting.style import LOOKS
from tests.csv_runs import NAME, epoch, write_run

PNG = b"\x89PNG\r\n\x1a\n"


def table(res, *arguments):
    """Run main on a folder and return the rows of its results.csv."""
    assert report.main(["--res", str(res), *arguments]) == 0
    with open(res / "report" / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def res(tmp_path, monkeypatch):
    """A folder for CSVs, for tests that need no figures: drawing takes most of a report's time."""
    monkeypatch.setattr("reporting.figures.save", lambda *_: [])
    return tmp_path / "res"


@pytest.fixture
def study(tmp_path):
    """All methods on a 2 x 2 grid, two seeds, two sample ratios for the self-supervised."""
    for place, method in enumerate(LOOKS):
        ratios = ("-ratio0.1", "-ratio1") if method.startswith("Self") else ("",)
        for lr, size, ratio, seed in itertools.product((0.1, 0.01), (64, 128), ratios, (0, 1)):
            top = 0.3 + 0.1 * place + lr + size / 4096 + seed / 100
            write_run(tmp_path / "res",
                      f"{method}_cifar100-sgd-lr{lr:g}-bs{size}{ratio}" + "-seed1" * seed,
                      [epoch(top / 2, top / 2), epoch(top, top - 0.01)])
    return tmp_path / "res"


def test_epoch_is_chosen_on_validation_and_the_last_of_equals(res):
    write_run(res, NAME, [epoch(0.4, 0.9), epoch(0.6, 0.5), epoch(0.6, 0.4), epoch(0.5, 0.99)])
    row, = table(res)
    assert (row["test_accuracy"], row["val_accuracy"], row["chosen_epochs"]) == ("0.4", "0.6", "3")


def test_without_validation_the_last_epoch_counts(res):
    write_run(res, NAME, [epoch(None, 0.9), epoch(None, 0.5)])
    row, = table(res)
    assert (row["test_accuracy"], row["val_accuracy"], row["chosen_epochs"]) == ("0.5", "", "2")


def test_a_tie_on_validation_is_not_broken_by_the_test_set(res, capsys):
    write_run(res, NAME, [epoch(0.7, 0.1)])
    write_run(res, NAME.replace("lr0.1", "lr0.2"), [epoch(0.7, 0.9)])
    table(res)
    best = capsys.readouterr().out.split("All settings")[0]
    assert "0.1000" in best and "0.9000" not in best


def test_several_settings_without_validation_have_no_best(tmp_path, capsys):
    res = tmp_path / "res"
    for lr in ("0.1", "0.2"):
        write_run(res, NAME.replace("0.1", lr), [epoch(None, 0.5), epoch(None, 0.6)])
    table(res)
    assert "Supervised from scratch has no best setting: several settings" in capsys.readouterr().err
    assert not (res / "report" / "best.png").exists()


def test_seeds_are_averaged_with_the_sample_deviation(res, capsys):
    accuracies = [0.5, 0.6, 0.8]
    for seed, accuracy in enumerate(accuracies):
        write_run(res, NAME + f"-seed{seed}" * bool(seed), [epoch(accuracy, accuracy - 0.1)])
    row, = table(res)
    assert row["seeds"] == "3"
    assert float(row["test_accuracy"]) == pytest.approx(statistics.fmean(accuracies) - 0.1)
    assert float(row["test_accuracy_std"]) == pytest.approx(statistics.stdev(accuracies))
    assert "0.5333 ± 0.1528" in capsys.readouterr().out


def test_other_label_and_sample_ratios_are_other_settings(res):
    for ending in ("", "-ratio0.1", "-ratio1", "-labels0.1", "-ratio1-labels0.1-seed2"):
        write_run(res, NAME + ending, [epoch(0.5, 0.5)])
    assert len(table(res)) == 5
    assert "## cifar100, label ratio 0.1\n" in (res / "report/results.md").read_text("utf-8")
    assert "## cifar100, by label ratio\n" in (res / "report/results.md").read_text("utf-8")


def test_a_diverged_setting_is_never_the_best(res, capsys):
    write_run(res, NAME, [epoch(0.9, 0.9), epoch(0.1, 0.1, train_loss=math.nan)])
    write_run(res, NAME + "-ratio0.1", [epoch(0.2, 0.2)])
    table(res)
    assert "0.9000" not in capsys.readouterr().out.split("All settings")[0]


def test_rows_are_sorted_by_test_accuracy(study):
    accuracies = [float(row["test_accuracy"]) for row in table(study)]
    assert len(accuracies) == 4 * (len(LOOKS) + 2) and accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize("name, content", [
    (NAME, b""), (NAME, b"a,b\n1,2\n"), (NAME, ",".join(runs.TRAIN_COLUMNS).encode() + b"\n"),
    (NAME, b"\xff\xfe\x00\x01"), ("notes", b"a,b\n1,2\n"), (NAME + "-extra", b"a\n"),
    (NAME.replace("0.1", "1.2.3"), b"a\n"), ("pretrain_" + NAME, b"epoch,knn_accuracy\n1,0.5\n")])
def test_foreign_files_are_named_and_skipped(res, capsys, name, content):
    good = write_run(res, "Supervised_digits-adam-lr1-bs8", [epoch(0.5, 0.5)])
    (res / f"{name}.csv").write_bytes(content)
    assert len(table(res)) == 1
    assert capsys.readouterr().err.startswith(f"skipped {res / name}.csv: ")
    good.unlink()
    assert report.main(["--res", str(res)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no usable CSV")


def test_data_and_name_filter(res, capsys):
    write_run(res, NAME, [epoch(0.5, 0.5)])
    write_run(res, "Supervised_digits-adam-lr1e-05-bs8", [epoch(0.5, 0.5)])
    assert len(table(res)) == 2
    assert {row["data"] for row in table(res, "--data", "digits")} == {"digits"}
    assert {row["data"] for row in table(res, "--name-filter", "100-sgd")} == {"cifar100"}
    assert report.main(["--res", str(res), "--data", "stl10"]) == 1
    assert "there are: cifar100, digits" in capsys.readouterr().err


def heading_of(res):
    assert report.main(["--res", str(res), "--out", str(res / "out")]) == 0
    text = (res / "out" / "report" / "results.md").read_text()
    return [line for line in text.splitlines() if "Test accuracy" in line][0]


@pytest.mark.parametrize("balanced, f1, shown", [
    (None, None, False), (0.5, 0.4, False), (0.6, 0.4, True)], ids=["older", "as the accuracy", "of rare classes"])
def test_means_over_classes_are_shown_where_they_say_something(res, capsys, balanced, f1, shown):
    more = {} if balanced is None else {"test_balanced_accuracy": balanced, "test_macro_f1": f1}
    write_run(res, NAME, [epoch(0.5, 0.5, **more)])
    write_run(res, NAME.replace("0.1", "0.2"), [epoch(0.4, 0.4)])
    found = heading_of(res)
    assert [name in found for name in ("Test balanced accuracy", "Test macro F1")] == [shown] * 2
    row = max(table(res), key=lambda row: row["test_accuracy"])
    found = [row["test_balanced_accuracy"], row["test_macro_f1"]]
    assert found == ["" if n is None else str(n) for n in (balanced, f1)]


def test_the_penalties_that_validation_chose(res):
    write_run(res, NAME, [epoch(0.5, 0.5, penalty=0.1), epoch(0.6, 0.6, penalty=0.01), epoch(0.5, 0.5, penalty=1e-6)])
    row, = table(res)
    assert (row["chosen_penalties"], row["chosen_epochs"]) == ("0.01", "2")


@pytest.mark.parametrize("ranks", [None, 123.4])
def test_rankme_has_a_column_where_it_was_measured(res, capsys, ranks):
    write_run(res, "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.0001-bs128-ratio0.1",
              [{"loss": 4.0, **({"rankme": ranks} if ranks else {})}], 1, runs.PRETRAIN_COLUMNS)
    assert report.main(["--res", str(res)]) == 0
    text = capsys.readouterr().out
    assert ("RankMe" in text) == ("| 123 " in text) == bool(ranks)


def test_pretraining_runs_have_a_table_of_their_own(res, tmp_path, capsys):
    rows = [{"loss": 4.0, "contrast_accuracy": 0.2, "knn_accuracy": 0.3},
            {"loss": 3.0, "contrast_accuracy": 0.25, "knn_accuracy": 0.35}]
    write_run(res, "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.0001-bs128-ratio0.1",
              rows, 9, runs.PRETRAIN_COLUMNS)
    assert report.main(["--res", str(res), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    for cell in ("SelfSupervisedPretraining, imagenet", "3.0000", "0.2500", "0.3500", "2/9"):
        assert cell in text
    assert (tmp_path / "out/report/results.md").exists()


def test_figures_are_written_linked_and_the_same_every_time(study, tmp_path):
    expected = {"best", "curves", "ratio", *(f"heatmap_{method}" for method in LOOKS)}
    folders = [tmp_path / name / "report" for name in ("first", "second")]
    for folder in folders:
        assert report.main(["--res", str(study), "--out", str(folder.parent)]) == 0
    files = {path.name: path.read_bytes() for path in folders[0].iterdir()}
    assert files == {path.name: path.read_bytes() for path in folders[1].iterdir()}
    assert set(files) == {"results.md", "results.csv", *(f"{name}.{ending}" for name in expected
                                                         for ending in ("png", "svg"))}
    assert all(data.startswith(PNG) for name, data in files.items() if name.endswith("png"))
    assert all(f"]({name}.png)".encode() in files["results.md"] for name in expected)


def test_a_figure_with_nothing_to_show_is_not_kept(study):
    table(study)
    for path in study.glob("*.csv"):
        if path.name != f"{NAME}.csv":
            path.unlink()
    table(study)
    assert {path.stem for path in (study / "report").glob("*.svg")} >= {"best", "curves"}
    assert not (study / "report/ratio.svg").exists()
    assert not (study / "report/heatmap_Supervised.png").exists()


def test_importing_the_report_loads_no_matplotlib():
    code = "import sys, report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(report.__file__).parent).returncode == 0


def test_a_reader_that_has_read_enough_is_no_error(tmp_path):
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.5)])
    command = [sys.executable, Path(report.__file__), "--res", tmp_path / "res"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_one_dataset_shows_no_pretraining_of_others(res, capsys):
    write_run(res, "SelfSupervisedPretrained_digits-sgd-lr0.1-bs8-fromdigits-ratio1", [epoch(0.5, 0.5)])
    for data in ("digits", "imagenet"):
        write_run(res, f"pretrain_SelfSupervisedPretraining_{data}-adam-lr0.1-bs8-ratio1", [{"loss": 1.0}],
                  columns=runs.PRETRAIN_COLUMNS)
    table(res, "--data", "digits")
    shown = capsys.readouterr().out
    assert "SelfSupervisedPretraining, digits" in shown and "SelfSupervisedPretraining, imagenet" not in shown
    table(res)
    assert "SelfSupervisedPretraining, imagenet" in capsys.readouterr().out


def original_study():
    """Run names of the 104 rows of the table that the grids reproduce."""
    pairs = [f"{optimizer}-lr{lr}" for optimizer in ("sgd", "adam") for lr in ("0.1", "0.01", "0.001")]
    names = [f"{method}_cifar100-{pair}-bs{size}" for method in ("Supervised", "SupervisedPretrainedFinetune")
             for pair in pairs for size in (32, 64, 128, 256)]
    names += [f"SupervisedPretrained_cifar100-{pair}-bs128" for pair in pairs]
    names += [f"{method}_cifar100-{pair}-bs128-ratio{ratio}"
              for method in ("SelfSupervisedPretrained", "SelfSupervisedPretrainedFinetune")
              for pair in pairs for ratio in ("0.1", "0.3", "0.5", "1")]
    return names + [f"SelfSupervisedPretrained_cifar100-sgd-lr0.1-bs128-from{data}-ratio1"
                    for data in ("stl10", "cifar10")]


def test_the_whole_study_prints_best_first(res, capsys):
    names = original_study()
    assert len(names) == 104
    # the best rows as published, the others below them in an order that no name gives away
    best = {"SupervisedPretrainedFinetune_cifar100-sgd-lr0.01-bs64": 0.8045,
            "Supervised_cifar100-sgd-lr0.1-bs128": 0.7175, "SupervisedPretrained_cifar100-adam-lr0.001-bs128": 0.7043,
            "SelfSupervisedPretrainedFinetune_cifar100-sgd-lr0.1-bs128-ratio0.1": 0.6965,
            "SelfSupervisedPretrained_cifar100-adam-lr0.001-bs128-ratio0.1": 0.4946}
    rest = {name: 0.49 - 0.004 * (k * 37 % 104) for k, name in enumerate(names)}
    accuracy = {**rest, **best}
    for name, value in accuracy.items():
        write_run(res, name, [epoch(value, value)])
    rows = table(res)
    wanted = sorted(names, key=lambda name: -accuracy[name])
    assert [float(row["test_accuracy"]) for row in rows] == [accuracy[name] for name in wanted]
    for row, name in zip(rows, wanted):
        setting, *_ = parse_name(name)
        assert (row["setting"], row["optimizer"], float(row["learning_rate"]), int(row["batch_size"])) == \
            (setting.model_type, setting.optimizer, setting.lr, setting.batch_size)
    lines = capsys.readouterr().out.split("All settings by test accuracy:")[1].splitlines()
    heading, *shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| S")]
    assert "|".join(heading[:6]) == "Setting|Optimizer|Learning rate|Batch size|Pre-training sample ratio|Test accuracy"
    assert len(shown) == 104
    for row, name in zip(shown, wanted):
        setting, _, _ = parse_name(name)
        ratio = "-" if setting.ratio is None else f"{setting.ratio:g}"
        ratio += f" of {setting.source}" if "from" in name else ""
        assert row[:6] == [setting.model_type, setting.optimizer, f"{setting.lr:g}", str(setting.batch_size), ratio,
                           f"{accuracy[name]:.4f}"]


def test_best_settings_go_into_a_yaml_file(res, tmp_path):
    write_run(res, "Supervised_cifar100-sgd-lr0.1-bs64", [epoch(0.5, 0.1)])
    write_run(res, "Supervised_cifar100-adam-lr0.01-bs32", [epoch(0.4, 0.9)])
    write_run(res, "Supervised_digits-adam-lr0.01-bs32-labels0.25", [epoch(0.4, 0.9)])
    best = tmp_path / "best.yaml"
    best.write_text("cifar100:\n  Supervised: {optimizer: lars, epochs: 7}\n  SupervisedPretrained: {lr: 3.0}\n")
    assert report.main(["--res", str(res), "--best", str(best)]) == 0
    assert yaml.safe_load(best.read_text()) == {
        "cifar100": {"Supervised": {"optimizer": "sgd", "epochs": 7, "lr": 0.1, "batch-size": 64},
                     "SupervisedPretrained": {"lr": 3.0}}}
    before = best.read_text()
    assert report.main(["--res", str(res), "--best", str(best)]) == 0 and best.read_text() == before


@pytest.mark.parametrize("text", ["- a list", "cifar100: 3", "{", "!!python/object/apply:os.system [exit]"])
def test_a_foreign_yaml_file_is_one_line_and_stays(res, tmp_path, capsys, text):
    write_run(res, NAME, [epoch(0.5, 0.1)])
    best = tmp_path / "best.yaml"
    best.write_text(text)
    assert report.main(["--res", str(res), "--best", str(best)]) == 1
    assert best.read_text() == text and len(capsys.readouterr().err.splitlines()) == 1
