"""Tables: columns are what sets rows apart, and lines below them name copies; on runs made here."""

import csv
import itertools

import pytest

import report
from records import results
from records.setting import text
from reporting.columns import apart, names_of, shared
from reporting.figures import grid_panels
from reporting.tables import cells, copy_notes, layout, order
from tests.csv_runs import behind, epoch, made_from, write_run

LINEAR = "SupervisedPretrained_cifar100-sgd-lr0.1-bs128"
IMAGENET = {"digest": "i", "from": "imagenet", "run": None}


def read(res, *made):
    """Results of runs made so, each with another accuracy."""
    for number, each in enumerate(made):
        write_run(res, f"run{number}", [epoch(number / 100, number / 100)], made=each)
    return results.read_results(res)


@pytest.mark.parametrize("name, values, heading", [
    ("stem", ("3x3", "7x7"), "Stem"), ("label_smoothing", (0.0, 0.1), "Label smoothing"),
    ("weight_decay", (0.0005, 0.001), "Weight decay"), ("image_size", (32, 64), "Image size")])
def test_two_seeds_of_other_settings_are_two_rows_with_that_column(tmp_path, name, values, heading):
    found = read(tmp_path, *(made_from(seed=seed, **{name: value}) for seed, value in enumerate(values)))
    lines = cells(found)
    assert len(lines) == 2 and [line[heading] for line in lines] == [text(value) for value in values]
    assert {*lines[0]} - {heading} == {"Setting", "Test accuracy", "Validation accuracy", "Seeds", "Time per run",
                                       "Status"}


def test_planned_epochs_set_rows_apart(tmp_path):
    lines = cells(read(tmp_path, made_from(epochs=1), made_from(epochs=20, seed=1)))
    assert [line["Epochs"] for line in lines] == ["1/1", "1/20"]


def test_epochs_that_are_no_number_set_rows_apart_too(tmp_path):
    lines = cells(read(tmp_path, made_from(epochs=1), made_from(epochs="many", seed=1), made_from(epochs=None, seed=2)))
    assert [line["Epochs as written"] for line in lines] == ["-", "many", "none"]


def test_two_folders_under_one_name_are_two_rows_told_by_digests(tmp_path):
    digests = "0123456789abcdef", "0123456789abcdee"
    lines = cells(read(tmp_path, *(made_from(data=digest, seed=seed) for seed, digest in enumerate(digests))))
    assert [line["Images (digest)"] for line in lines] == list(digests)  # as long as it takes
    assert "Test images (digest)" not in lines[0]


def test_settings_of_the_pretraining_have_columns(tmp_path):
    lines = cells(read(tmp_path, made_from(LINEAR, behind()), made_from(LINEAR, behind(epochs=9, lr=0.5)), made_from()))
    assert [line["Pre-training epochs"] for line in lines] == ["1", "9", "-"]
    assert [line["Pre-training learning rate"] for line in lines] == ["0.001", "0.5", "-"]
    assert not any("crop" in name for name in lines[0])


def test_weights_from_files_have_digests(tmp_path):
    found = read(tmp_path,
                 *(made_from(LINEAR, {"digest": digest * 16, "from": "file", "run": None}) for digest in "ab"),
                 made_from(LINEAR, IMAGENET))
    lines = cells(found)
    assert [line["Weights digest"] for line in lines] == ["a" * 8, "b" * 8, "-"]
    assert [line["Weights"] for line in lines] == ["file", "file", "imagenet"]


def test_no_two_rows_look_the_same(tmp_path):
    """Whatever they differ in, also where one has a setting that the other lacks."""
    more = [{}, {"stem": "3x3"}, {"new_flag": 1}, {"new_flag": 2}, {"scheduler": "constant"}, {"warmup_epochs": 3.0}]
    found = read(tmp_path, *(made_from(LINEAR, weights, **settings) for weights, settings in itertools.product(
        [None, behind(), behind(temperature=0.1), IMAGENET, {"digest": "c", "from": "file", "run": None}], more)))
    columns = apart(found)
    assert len(found) == 30 and len(set(zip(*columns.values()))) == 30 and len(set(names_of(found))) == 30


def test_a_warmup_of_a_tenth_is_no_column_and_another_is(tmp_path):
    usual = [made_from(epochs=epochs, warmup_epochs=epochs / 10, seed=0) for epochs in (10, 20)]
    assert "warmup_epochs" not in apart(read(tmp_path, *usual))
    assert "warmup_epochs" in apart(read(tmp_path, *usual, made_from(epochs=20, warmup_epochs=7)))


def test_what_all_rows_share_is_one_line(tmp_path):
    found = read(tmp_path, made_from(LINEAR, behind(sample_ratio=0.5)), made_from(stem="3x3"))
    assert shared(found, apart(found)) == (
        "All rows: sgd, learning rate 0.1, batch size 128, pre-training sample ratio 0.5 where there is one, 1 epoch, "
        "32 px.")
    assert layout(found).splitlines()[0].startswith("All rows: sgd, ")


def test_several_pretrainings_have_their_spread_in_a_column(tmp_path):
    for before, seed in itertools.product(range(2), range(3)):
        value = 0.5 + before / 10 + seed / 100
        write_run(tmp_path, f"{before}{seed}", [epoch(value, value)], made=made_from(LINEAR, behind(before), seed=seed))
    write_run(tmp_path, "scratch", [epoch(0.4, 0.4)], made=made_from())
    lines = cells(results.read_results(tmp_path))
    names = "Test accuracy", "Test accuracy, ± over pre-trainings", "Seeds", "Pre-trainings"
    assert [lines[0][name] for name in names] == ["0.5600 ± 0.0100", "0.0707", "3", "2"]
    assert [lines[1][name] for name in names] == ["0.4000", "-", "1", "-"]


def test_results_csv_has_every_setting_and_both_numbers_of_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr("reporting.figures.save", lambda *_: [])
    read(tmp_path / "res", made_from(LINEAR, behind(3)), made_from(LINEAR, behind(4)), made_from(status="odd"))
    assert report.main(["--res", str(tmp_path / "res")]) == 0
    with open(tmp_path / "res/report/results.csv", newline="", encoding="utf-8") as file:
        rows = {row["setting"]: row for row in csv.DictReader(file)}
    one, other = rows["SupervisedPretrained"], rows["Supervised"]
    assert (one["seeds"], one["pretraining_seeds"], one["runs"]) == ("1", "2", "2")
    assert float(one["test_accuracy_std_pretrainings"]) == pytest.approx(0.01 / 2 ** 0.5)
    assert not one["test_accuracy_std"]
    assert (one["pretraining_crop_scale"], other["pretraining_crop_scale"], one["stem"]) == ("0.08", "", "7x7")
    assert (other["setting_status"], other["status"]) == ("odd", "done")


def test_copies_are_named_with_their_rows(tmp_path):
    none = {"pretraining/val": 0, "pretraining/test": 0, "train/test": 0}
    found = read(tmp_path, made_from(LINEAR, behind(), duplicates={**none, "pretraining/test": 12}),
                 made_from(LINEAR, behind(), seed=1, duplicates={**none, "pretraining/test": 9}),
                 made_from(LINEAR, behind(epochs=2), duplicates=none),
                 made_from(LINEAR, IMAGENET,
                           duplicates={"pretraining/val": None, "pretraining/test": None, "train/test": 3}),
                 made_from(duplicates={"pretraining/val": None, "pretraining/test": None, "train/test": 0}))
    imagenet, = (name for name, each in zip(names_of(found), found) if each.setting.told("weights") == "imagenet")
    notes = copy_notes(sorted(found, key=order))
    assert notes[0] == f"Copies: 3 test images are exact copies of labelled training images: {imagenet}."
    assert notes[2] == f"Copies: whether validation images are among the pre-training images is not known: {imagenet}."
    assert notes[1] == ("Copies: up to 12 test images are exact copies of pre-training images: SupervisedPretrained, "
                        "pre-training epochs 1.")
    assert notes[3] == f"Copies: whether test images are among the pre-training images is not known: {imagenet}."
    assert len(notes) == 4 and all(note in layout(found) for note in notes)


@pytest.mark.parametrize("duplicates",
                         [None, 3, [1], {}, {"train/test": True}, {"train/test": -1}, {"train/test": "9"}])
def test_no_copies_or_strange_numbers_are_no_line(tmp_path, duplicates):
    assert copy_notes(read(tmp_path, made_from(duplicates=duplicates))) == []


@pytest.mark.parametrize("part, words", [
    ("train/val", "4 validation images are exact copies of labelled training images"),
    ("pretraining/val", "4 validation images are exact copies of pre-training images")])
def test_copies_among_validation_images_are_named(tmp_path, part, words):
    assert copy_notes(read(tmp_path, made_from(duplicates={part: 4}))) == [f"Copies: {words}: Supervised."]


def test_a_grid_for_each_of_two_stems_is_a_panel_each(tmp_path):
    """No cell hides another one."""
    found = read(tmp_path, *(made_from(lr=lr, batch_size=size, stem=stem) for lr, size, stem in itertools.product(
        (0.1, 0.2), (32, 64), ("3x3", "7x7"))), made_from("Supervised_cifar100-adam-lr0.1-bs8"))
    panels = grid_panels(found)
    assert [title for title, _ in panels] == ["sgd, stem 3x3", "sgd, stem 7x7"]
    assert [len(cells) for _, cells in panels] == [4, 4]
