"""What is written comes back: run names, CSV rows, settings; for values that nobody thought of."""

import argparse
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import utils
from data.dataloader import FeatureBatches, generator
from data.sampling import stratified
from records import names, provenance, results, runs

NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
NUMBER = st.floats(0, allow_infinity=False) | st.just("")
SHARE = st.floats(0, 1) | st.just("")
ROWS = st.lists(st.fixed_dictionaries({
    name: SHARE if name.endswith(results.SHARES) else NUMBER for name in runs.TRAIN_COLUMNS if name != "epoch"}),
    min_size=1, max_size=5)


@given(ROWS, st.integers(0, 5))
def test_rows_of_a_csv_come_back_exactly(tmp_path, rows, cut):
    """Also where a run stops after some rows and goes on."""
    path, rows = tmp_path / "log.csv", [{"epoch": k + 1, **row} for k, row in enumerate(rows)]
    log = runs.CsvLog(path, runs.TRAIN_COLUMNS)
    for row in rows[:cut]:
        log.write(row)
    if 0 < cut < len(rows):
        log = runs.CsvLog(path, runs.TRAIN_COLUMNS, rows[cut - 1])
    for row in rows[cut:]:
        log.write(row)
    found, complaint = results.read_rows(path, pretraining=False)
    assert complaint is None
    assert found == [{name: None if value == "" else value for name, value in row.items()} for row in rows]


@given(st.floats(allow_nan=True), st.integers(1, 9))
def test_a_loss_that_is_not_finite_comes_back_as_such(tmp_path, loss, epoch):
    runs.CsvLog(tmp_path / "log.csv", runs.TRAIN_COLUMNS).write({"epoch": epoch, "train_loss": loss})
    (row,), _ = results.read_rows(tmp_path / "log.csv", pretraining=False)
    assert results.diverged(row) == (not math.isfinite(loss))


VALUE = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
         | st.lists(st.floats(0, 1), max_size=3))


@given(st.dictionaries(NAME, VALUE, max_size=6), st.text("abc/ ü.:#'\"-", min_size=1, max_size=12))
def test_a_configuration_comes_back(tmp_path, values, folder):
    path = tmp_path / "config.yml"
    made_from = runs.Identity(values, {"train": "a"})
    args = argparse.Namespace(**values, data_dir=Path(folder))
    provenance.write_config([path], "name", made_from, {}, args, torch.device("cpu"), "off")
    found = yaml.safe_load(path.read_text())
    assert found["settings"] == values and found["flags"] == {**values, "data_dir": str(Path(folder))}
    assert runs.differences(runs.identity_of(found), made_from) == []
    assert not list(tmp_path.glob("*.partial"))


NUMBERS = utils.flags(lambda flag: "number" in getattr(flag.options.get("type"), "__qualname__", ""))
WHOLE = ("batch_size", "epochs", "out_dim", "image_size", "store_size", "knn_every", "feature_views", "seed",
         "micro_batch_size",
         "workers", "max_bad_images", "val_seed", "max_duplicates", "eval_every", "start_size")


def parsed(name, text):
    """The value of a flag, or None where it is refused in one line with status 2."""
    try:
        parser = utils.build_parser("", utils.ARGUMENTS[name].programs[0], {})
        return getattr(parser.parse_args([f"--{name}={text}"]), name)
    except SystemExit as exit_:
        assert exit_.code == 2
        return None


def test_all_numbers_of_the_table_are_looked_at():
    assert set(WHOLE) < set(NUMBERS) and len(NUMBERS) == len(WHOLE) + 11


@pytest.mark.parametrize("name", [*NUMBERS, "milestones"])
@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "-inf", "infinity", "1e400", "-1e400", "-1", "-1e-9", "",
                                  " ", "1_000", "１２", "٣", "1e", "0x10", " 1", "1 ", "1\n", "1,", "True",
                                  "9" * 5000])
def test_no_flag_takes_what_is_no_plain_number(name, text, capsys):
    assert parsed(name, text) is None
    error = capsys.readouterr().err
    assert error.startswith("error: argument --") and error.count("\n") == 1 and len(error) < 400


@given(st.sampled_from(NUMBERS), st.floats() | st.integers() | st.integers(-10 ** 40, 10 ** 40))
def test_whatever_a_flag_takes_is_finite_and_comes_back(name, value):
    found = parsed(name, repr(value))
    value = value if name in WHOLE else float(value)  # of a whole number beyond 2 ** 53 the nearest one
    assert found is None or found == value and math.isfinite(found) and math.copysign(1, found) == 1
    assert found is None or isinstance(found, int) == (name in WHOLE)


@pytest.mark.parametrize("name, good, bad", [
    ("seed", "9223372036854775807", "9223372036854775808"), ("seed", "0", "99999999999999999999"),
    ("epochs", "1000000", "1000000000000"), ("batch_size", "1000000", "1000001"), ("image_size", "1024", "1025"),
    ("out_dim", "65536", "65537"), ("workers", "1024", "100000"), ("temperature", "0.001", "1e-30"),
    ("label_smoothing", "0.99", "1"), ("lr", "1e30", "1e31"), ("crop_scale", "0.0001", "1e-30"),
    ("color_strength", "1.25", "1.3"), ("milestones", "0.3,0.6", "0.6,0.3"), ("milestones", ".5", "0.5,0.5"),
    ("milestones", "1e-3", "0.5,1"),
    ("milestones", "0.5", "0.5,,0.6"), ("weight_decay", "-0.0", "-1e-300"), ("epochs", "+7", "1e3")])
def test_where_the_bounds_lie(name, good, bad):
    assert parsed(name, good) is not None and parsed(name, bad) is None


@given(st.integers(0, 2 ** 63 - 1))
def test_every_seed_seeds_everything(seed):
    torch.manual_seed(seed)
    generator(seed, 1, 2)
    stratified(np.array([0, 0, 1, 1]), 0.5, seed)


@given(st.integers(2, 3000), st.integers(2, 600), st.none() | st.integers(4, 600), st.integers(1, 9))
def test_batch_norm_never_sees_a_single_image(images, batch_size, piece, processes):
    """Whatever the batch, the last one and the pieces: all processes together have two at least."""
    batches = FeatureBatches(np.zeros((1, images, 1), np.float32), np.zeros(images, np.int64), min(batch_size, images),
                             "cpu", piece_size=piece)
    batches.processes = processes
    for step in {0, len(batches) - 1}:
        assert min(sum(part.counts) for part in batches.share(step).pieces) >= 2


@given(st.text(st.characters(exclude_categories=())), st.integers(4, 40))
def test_a_printable_name_is_one_line_whatever_it_is(name, length):
    text = names.printable(name)
    assert names.printable(text) == text and text.encode("utf-8").decode("utf-8").splitlines() in ([], [text])
    assert len(names.short(name, length)) <= length
    assert names.short(name, length) == text or len(text) > length
