"""What is written comes back: run names, CSV rows, settings; for values that nobody thought of."""

import argparse
import math
from pathlib import Path

import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import names
import provenance
import results
import utils

settings.register_profile("here", deadline=None, max_examples=200,
                          suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("here")

# What a command line can say: a decimal number of up to 15 digits.
RATE = st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(1, 10 ** 15 - 1), st.integers(-20, 3))
RATIO = st.builds(lambda digits: digits / 10 ** 9, st.integers(1, 10 ** 9))
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
DATA = st.from_regex(r"[a-z][a-z0-9]{0,11}", fullmatch=True)
RUN = st.tuples(NAME, st.sampled_from(("sgd", "adam", "lars")), RATE, st.integers(1, 10 ** 6),
                st.none() | RATIO, RATIO, st.integers(0, 2 ** 63), DATA)


@given(RUN)
def test_a_run_name_tells_its_settings(run):
    data, optimizer, lr, batch_size, ratio, labels, seed, source = run
    for prefix in ("", "pretrain_"):
        setting, found_seed, name = results.parse_name(f"{prefix}Supervised_{utils.run_name(*run)}")
        source = None if ratio is None or prefix else source
        assert setting == (bool(prefix), data, labels, "Supervised", optimizer, lr, batch_size, ratio, source)
        assert found_seed == seed and name == utils.run_name(*run)


@given(RUN, RUN)
def test_two_runs_never_share_a_name(one, other):
    one, other = ((*run[:-1], run[-1] if run[4] is not None else None) for run in (one, other))  # else not named
    assert (utils.run_name(*one) == utils.run_name(*other)) == (one == other)


NUMBER = st.floats(0, allow_infinity=False) | st.just("")
SHARE = st.floats(0, 1) | st.just("")
ROWS = st.lists(st.fixed_dictionaries({
    name: SHARE if name.endswith("accuracy") else NUMBER for name in results.TRAIN_COLUMNS if name != "epoch"}),
    min_size=1, max_size=5)


@given(ROWS, st.integers(0, 5))
def test_rows_of_a_csv_come_back_exactly(tmp_path, rows, cut):
    """Also where a run stops after some rows and goes on."""
    path, rows = tmp_path / "log.csv", [{"epoch": k + 1, **row} for k, row in enumerate(rows)]
    log = utils.CsvLog(path, results.TRAIN_COLUMNS)
    for row in rows[:cut]:
        log.write(row)
    if 0 < cut < len(rows):
        log = utils.CsvLog(path, results.TRAIN_COLUMNS, rows[cut - 1])
    for row in rows[cut:]:
        log.write(row)
    found, complaint = results.read_rows(path, results.TRAIN_COLUMNS)
    assert complaint is None
    assert found == [{name: None if value == "" else value for name, value in row.items()} for row in rows]


@given(st.floats(allow_nan=True), st.integers(1, 9))
def test_a_loss_that_is_not_finite_comes_back_as_such(tmp_path, loss, epoch):
    utils.CsvLog(tmp_path / "log.csv", results.TRAIN_COLUMNS).write({"epoch": epoch, "train_loss": loss})
    (row,), _ = results.read_rows(tmp_path / "log.csv", results.TRAIN_COLUMNS)
    assert results.diverged(row) == (not math.isfinite(loss))


VALUE = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
         | st.lists(st.floats(0, 1), max_size=3))


ADDED = ("versions", "commit", "machine", "threads", "processes", "command")  # to the settings
SETTING = NAME.filter(lambda name: name not in ADDED)


@given(st.dictionaries(SETTING, VALUE, max_size=6), st.text("abc/ ü.:#'\"-", min_size=1, max_size=12))
def test_a_configuration_comes_back(tmp_path, values, folder):
    path = tmp_path / "config.yml"
    provenance.write_config([path], argparse.Namespace(**values, data_dir=Path(folder)), torch.device("cpu"))
    found = yaml.safe_load(path.read_text())
    assert {name: found[name] for name in values} == values
    assert found["data_dir"] == str(Path(folder))
    assert not list(tmp_path.glob("*.partial"))


@given(st.text(st.characters(exclude_categories=())), st.integers(4, 40))
def test_a_printable_name_is_one_line_whatever_it_is(name, length):
    text = names.printable(name)
    assert names.printable(text) == text and text.encode("utf-8").decode("utf-8").splitlines() in ([], [text])
    assert len(names.short(name, length)) <= length
    assert names.short(name, length) == text or len(text) > length
