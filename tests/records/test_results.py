"""results.py: what is read of a CSV, what is chosen, what is marked; on CSVs made here."""

import math

import pytest

from records import results, runs
from records.setting import parse_name
from tests.csv_runs import NAME, behind, epoch, made_from, write_run

LINEAR = "SupervisedPretrained_cifar100-sgd-lr0.1-bs128"


@pytest.fixture
def res(tmp_path):
    return tmp_path / "res"


def test_status_done_unfinished_diverged(res):
    write_run(res, NAME, [epoch(0.5, 0.5)] * 3, planned=3)
    write_run(res, NAME + "-ratio0.1", [epoch(0.5, 0.4)] * 2, planned=3)
    write_run(res, NAME + "-ratio0.2", [epoch(0.5, 0.3), epoch(0.9, 0.9, val_loss=math.nan)])
    write_run(res, NAME + "-ratio0.3", [epoch(0.01, 0.01, train_loss=math.inf)])
    write_run(res, NAME + "-seed1", [epoch(0.5, 0.5)] * 2, planned=3)
    write_run(res, NAME + "-ratio0.4", [epoch(0.9, 0.9, val_loss=math.nan), epoch(0.5, 0.3)])  # it recovered
    found = results.read_results(res)
    assert [result.status for result in found] == ["unfinished", "diverged", "diverged", "done",
                                                   "unfinished (1 of 2)"]
    assert [result.test[0] for result in found] == [0.4, 0.3, None, 0.3, 0.5]
    assert [len(result.counted) for result in found] == [1, 1, 1, 1, 1] and found[-1].seeds == 1
    assert [[run.planned for run in result.runs] for result in found] == [[3], [2], [1], [2], [3, 3]]


@pytest.mark.parametrize("damage, last_epoch, complaint", [
    (lambda text: text[:-20], 2, "half-written"),
    (lambda text: text[:-2], 2, "half-written"),
    (lambda text: text.replace("\n2,", "\n2,x"), 1, "line 3"),
    (lambda text: text.replace("0.25", "25.0"), 2, "test_accuracy 25.0 is no fraction"),
    (lambda text: text + "4,0.1\n", 3, f"2 of {len(runs.TRAIN_COLUMNS)} cells")])
def test_a_damaged_csv_is_used_as_far_as_whole_rows_go(res, capsys, damage, last_epoch, complaint):
    path = write_run(res, NAME, [epoch(0.5, 0.5), epoch(0.6, 0.6), epoch(0.7, 0.25)])
    path.write_bytes(damage(path.read_bytes().decode()).encode())
    run, = results.read_runs(res)
    error = capsys.readouterr().err
    assert run.rows[-1]["epoch"] == last_epoch
    assert complaint in error and path.name in error and error.count("\n") == 1


def test_a_resumed_run_that_repeats_epochs_counts_them_once(res):
    path = write_run(res, NAME, [epoch(0.5, 0.5), epoch(0.9, 0.9)])
    text = path.read_text()
    path.write_text(text + text.splitlines()[2].replace("0.9", "0.6") + "\n")
    run, = results.read_runs(res)
    assert [(row["epoch"], row["test_accuracy"]) for row in run.rows] == [(1, 0.5), (2, 0.6)]


@pytest.mark.parametrize("order", [(3, 1, 2), (3, 2, 1), (2, 3, 1)])
def test_rows_that_somebody_sorted(res, order):
    """By an accuracy, say; only what a resumed run repeats counts less."""
    path = write_run(res, NAME, [epoch(0.5, 0.1), epoch(0.9, 0.2), epoch(0.7, 0.3)])
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(lines[k - 1] for k in order)]) + "\n")
    result, = results.read_results(res)
    assert [row["test_accuracy"] for row in result.runs[0].rows] == [0.1, 0.2, 0.3]
    assert result.test.mean == 0.2 and result.status == "done"


def test_two_columns_of_a_name_are_not_told_apart(res, capsys):
    path = write_run(res, NAME, [epoch(0.5, 0.5)])
    path.write_text(path.read_text().replace("val_loss", "val_accuracy"))
    assert not results.read_runs(res)
    assert "has two columns val_accuracy" in capsys.readouterr().err


@pytest.mark.parametrize("stem, expected", [
    ("Supervised_cifar100-sgd-lr1e-05-bs32",
     (False, "cifar100", 1.0, "Supervised", "sgd", 1e-05, 32, None, None, 0)),
    ("pretrain_SelfSupervisedPretraining_stl10-adamw-lr0.0003-bs256-ratio0.05-seed12",
     (True, "stl10", 1.0, "SelfSupervisedPretraining", "adamw", 0.0003, 256, 0.05, None, 12)),
    ("Supervised_my-own_photos-sgd-lr1-bs8-ratio1.0-labels1e-02-seed0",
     (False, "my-own_photos", 0.01, "Supervised", "sgd", 1.0, 8, 1.0, "imagenet", 0)),
    ("SelfSupervisedPretrained_cifar100-sgd-lr0.1-bs128-fromstl10-ratio1",
     (False, "cifar100", 1.0, "SelfSupervisedPretrained", "sgd", 0.1, 128, 1.0, "stl10", 0))])
def test_run_names(stem, expected):
    setting, seed, run = parse_name(stem)
    assert (*setting[:-1], seed) == expected and setting.more == () and stem.endswith("_" + run)


def test_planned_epochs_are_those_beside_the_csv_or_else_beside_the_checkpoint(res):
    write_run(res, NAME, [epoch(0.5, 0.5)], planned=3)
    assert results.read_runs(res)[0].planned == 3
    (res / f"{NAME}.yml").write_text("machine: two cores\nepochs: 5\n")
    run, = results.read_runs(res)
    assert run.planned == 5 and run.config == {"machine": "two cores", "epochs": 5}


@pytest.mark.parametrize("content", [
    b"", b"epochs: [1, 2", b"- 9", b"epochs: nine\n", b"epochs: 0\n", b"epochs: true\n", b"\xff\xfe\x00",
    b"epochs: !!python/object/apply:os.abort []", b"epochs: !!int ''", b"epochs: !!timestamp x", b"[" * 9999,
    b"epochs: 9\n" + b"#" * 2 ** 20])
def test_a_foreign_yaml_file_is_ignored(res, content):
    write_run(res, NAME, [epoch(0.5, 0.5)], planned=3)
    (res / f"{NAME}.yml").write_bytes(content)
    assert results.read_runs(res)[0].planned == 3


def test_a_folder_in_place_of_a_yaml_file_is_ignored(res):
    write_run(res, NAME, [epoch(0.5, 0.5)])
    (res / f"{NAME}.yml").mkdir()
    assert results.read_runs(res)[0].planned == 1


@pytest.mark.parametrize("columns", [
    ("epoch", "train_loss", "val_accuracy", "test_accuracy"),
    ("test_accuracy", "epoch", "macro_f1", "train_loss", "val_accuracy", "remark", *runs.TRAIN_COLUMNS[-2:])])
def test_older_and_wider_csvs_read(res, columns):
    """What a CSV lacks is empty, what is not known is left out, words included."""
    write_run(res, NAME, [epoch(0.5, 0.25, macro_f1=0.9, remark="slow")] * 2, columns=columns)
    result, = results.read_results(res)
    assert result.test[0] == 0.25 and result.status == "done"
    assert set(result.runs[0].rows[0]) == set(runs.TRAIN_COLUMNS) and result.runs[0].rows[0]["test_loss"] is None


def test_of_two_copies_of_a_run_the_one_with_more_epochs_counts(res, capsys):
    for name, count in (("a copy", 1), ("run", 3), ("run copied", 2)):
        write_run(res, name, [epoch(0.5, count / 10)] * count, made=made_from(NAME))
    run, = results.read_runs(res)
    assert run.csv.stem == "run" and len(run.rows) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"skipped {res}/a copy.csv: the same run as run copied.csv",
        f"skipped {res}/run copied.csv: the same run as run.csv"]


def test_a_resumed_csv_keeps_columns_that_are_not_known_and_gains_new_ones(res):
    path = write_run(res, NAME, [epoch(0.5, 0.25, remark="slow")] * 2, columns=("epoch", "remark", "train_loss"))
    log = runs.CsvLog(path, ("epoch", "train_loss", "macro_f1"), {"epoch": 3, "train_loss": 2.0, "macro_f1": 0.5})
    log.write({"epoch": 4, "train_loss": 3.0, "macro_f1": 0.75})
    assert path.read_text() == ("epoch,train_loss,macro_f1,remark\n1,1.0,,slow\n2,1.0,,slow\n3,2.0,0.5,\n"
                                "4,3.0,0.75,\n")
    with pytest.raises(ValueError, match="no column for weight_norm; columns are named in records.runs"):
        log.write({"epoch": 5, "weight_norm": 1.0})


def test_spreads_over_seeds_of_training_and_of_pretraining(res):
    """Two pre-trainings, three seeds of training on each; numbers worked out by hand."""
    accuracies = {(0, 0): 0.40, (0, 1): 0.42, (0, 2): 0.44, (1, 0): 0.50, (1, 1): 0.54, (1, 2): 0.58}
    for (before, seed), value in accuracies.items():
        write_run(res, f"{before}{seed}", [epoch(value, value)],
                  made=made_from(LINEAR, behind(before), seed=seed))
    result, = results.read_results(res)
    assert (result.pretrainings, result.seeds, len(result.runs)) == (2, 3, 6)
    assert result.test.mean == pytest.approx(0.48)  # of 0.42 and 0.54
    assert result.test.std == pytest.approx(math.sqrt((0.0008 + 0.0032) / 4))
    assert result.test.between == pytest.approx(0.12 / math.sqrt(2)) and result.val == result.test


def test_pretrainings_of_unequal_numbers_of_seeds_weigh_the_same(res):
    for before, seed, value in ((0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.6)):
        write_run(res, f"{before}{seed}", [epoch(value, value)],
                  made=made_from(LINEAR, behind(before), seed=seed))
    result, = results.read_results(res)
    assert result.test == pytest.approx((0.4, math.sqrt(0.02), 0.4 / math.sqrt(2)))


def test_one_seed_of_training_on_each_pretraining_has_the_second_spread_alone(res):
    for seed, value in enumerate((0.4, 0.6)):
        write_run(res, str(seed), [epoch(value, value)],
                  made=made_from(LINEAR, behind(seed), seed=seed))
    result, = results.read_results(res)
    assert result.test == pytest.approx((0.5, None, 0.2 / math.sqrt(2)))


def test_runs_without_pretraining_have_no_second_spread(res):
    for seed, value in enumerate((0.4, 0.6)):
        write_run(res, str(seed), [epoch(value, value)], made=made_from(seed=seed))
    result, = results.read_results(res)
    assert (result.pretrainings, result.seeds, result.test.between) == (0, 2, None)


def test_a_copy_of_a_run_under_another_name_counts_once(res, capsys):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_run(res, name, [epoch(0.5, 0.5)], made=made_from(seed=seed))
    result, = results.read_results(res)
    assert (result.seeds, len(result.runs)) == (2, 2)
    assert capsys.readouterr().err == f"skipped {res / 'b.csv'}: the same run as a.csv\n"


def test_a_share_of_other_pictures_is_another_pretraining(res, capsys):
    """As many of each class, so that labels alone do not tell: neither a copy nor another seed."""
    pretraining = "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.001-bs64-ratio0.5"
    for seed, pictures in ((0, "sharp"), (0, "blurred"), (1, "sharp")):
        made = made_from(pretraining, seed=seed)
        made["data"]["pretrain"] = f"{pictures} {seed}"
        write_run(res, f"{pictures}{seed}", [{"loss": 1.0}], columns=runs.PRETRAIN_COLUMNS, made=made)
        weights = behind(seed, sample_ratio=0.5)
        weights["digest"] = weights["run"]["data"]["pretrain"] = f"{pictures} {seed}"
        write_run(res, f"on {pictures}{seed}", [epoch(0.5, 0.5)], made=made_from(LINEAR, weights))
    found = results.read_results(res)
    assert len(found) == 6 and all(result.setting.told("seen images") for result in found)
    assert capsys.readouterr().err == ""
    for path in (*res.glob("*blurred*"),):
        path.unlink()
    assert [len(result.runs) for result in results.read_results(res)] == [2, 2], "seeds of one"


def test_runs_without_a_seed_are_all_counted(res):
    for name in "ab":
        write_run(res, name, [epoch(0.5, 0.5)], made=made_from(seed=None))
    assert results.read_results(res)[0].seeds == 2
