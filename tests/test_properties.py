"""What is written comes back: run names, CSV rows, settings; for values that nobody thought of."""

import argparse
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

import utils
from data.dataloader import FeatureBatches, generator
from data.datasets import stratified
from grid_search.cells import Cell
from records import names, provenance, results, runs
from training.command_line import parse_pretrain, parse_train

# What a command line can say: a decimal number of up to 15 digits.
RATE = st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(1, 10 ** 15 - 1), st.integers(-20, 3))
RATIO = st.builds(lambda digits: digits / 10 ** 9, st.integers(1, 10 ** 9))
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
DATA = st.from_regex(r"[a-z][a-z0-9]{0,11}", fullmatch=True)
RUN = st.tuples(NAME, st.sampled_from(("sgd", "adam", "lars")), RATE, st.integers(1, 10 ** 6),
                st.none() | RATIO, RATIO, st.integers(0, 2 ** 63), DATA)


NAMED = ("data", "optimizer", "lr", "batch_size", "sample_ratio", "label_ratio", "seed", "source")
TOLD = {*NAMED, "model_type"}
PARSERS = {"pretrain.py": parse_pretrain, "train.py": parse_train}
BASE = {"pretrain.py": ["--data", "digits"], "train.py": ["--model-type", "SupervisedPretrained"]}


@given(RUN)
def test_a_run_name_tells_its_settings(run):
    data, optimizer, lr, batch_size, ratio, labels, seed, source = run
    for prefix in ("", "pretrain_"):
        setting, found_seed, name = results.parse_name(f"{prefix}Supervised_{runs.run_name(*run)}")
        source = None if ratio is None or prefix else source
        assert setting == (bool(prefix), data, labels, "Supervised", optimizer, lr, batch_size, ratio, source)
        assert found_seed == seed and name == runs.run_name(*run)


@given(RUN, RUN)
def test_two_runs_never_share_a_name(one, other):
    one, other = ((*run[:-1], run[-1] if run[4] is not None else None) for run in (one, other))  # else not named
    assert (runs.run_name(*one) == runs.run_name(*other)) == (one == other)


def next_to(value):
    """The nearest other value that a command line can say."""
    if isinstance(value, float):
        digits, power = f"{value:.14e}".split("e")
        return float(f"{int(digits.replace('.', '')) + 1}e{int(power) - 14}")
    return value + 1 if isinstance(value, int) else f"{value}0"


@given(RUN, RUN, st.integers(0, len(NAMED) - 1), st.booleans())
def test_a_single_other_setting_makes_another_name(one, other, place, near):
    """Where all but one are the same, the name has to tell that one, to its last digit."""
    one = one if one[4] is not None else (*one[:4], 0.5, *one[5:])  # a source is named with a ratio only
    changed = (*one[:place], next_to(one[place]) if near else other[place], *one[place + 1:])
    assume(changed != one and changed[4] is not None)
    assert runs.run_name(*one) != runs.run_name(*changed)


def test_these_settings_alone_may_change_on_the_way():
    results_of = utils.flags(lambda flag: flag.result and flag.resumable)
    assert results_of == ["epochs", "pretrained_model_path", "knn_every", "compile"]


def another(name, program):
    """A value of a flag that is not its default."""
    default = vars(PARSERS[program](BASE[program]))[name]
    options = utils.ARGUMENTS[name].options
    for text in (*options.get("choices", ()), "cifar10", "SupervisedPretraining", "Supervised", "3", "0.25", "0.5,0.6",
                 "1,2,3", "100"):
        words = [f"--{name}"] if options.get("action") else [f"--{name}={text}"]
        try:
            found = PARSERS[program]([*BASE[program], *words])
        except SystemExit:
            continue
        if vars(found)[name] != default:
            return found
    raise AssertionError(f"no other value of {name}")


@pytest.mark.parametrize("program, name", [
    (program, name) for program, letter in (("pretrain.py", "P"), ("train.py", "T"))
    for name in utils.flags(lambda flag, letter=letter: letter in flag.programs and flag.result)])
def test_a_run_of_another_setting_has_another_name_or_is_refused(program, name):
    """What the name does not tell, --resume and the grids compare."""
    old, new = PARSERS[program](BASE[program]), another(name, program)
    names = {Cell(program, (), args, getattr(args, "sample_ratio", None)).name for args in (old, new)}
    resumable = utils.flags(lambda flag: flag.resumable)
    if len(names) == 1 and name not in resumable:
        with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} was "):
            runs.check_resume({"config": runs.plain_config(old)}, new, resumable)
    assert len(names) == 2 or name not in TOLD


NUMBER = st.floats(0, allow_infinity=False) | st.just("")
SHARE = st.floats(0, 1) | st.just("")
ROWS = st.lists(st.fixed_dictionaries({
    name: SHARE if name.endswith("accuracy") else NUMBER for name in runs.TRAIN_COLUMNS if name != "epoch"}),
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


NUMBERS = utils.flags(lambda flag: "_number" in getattr(flag.options.get("type"), "__qualname__", ""))
WHOLE = ("batch_size", "epochs", "out_dim", "image_size", "store_size", "knn_every", "feature_views", "seed", "micro_batch_size",
         "workers", "max_bad_images")


def parsed(name, text):
    """The value of a flag, or None where it is refused in one line with status 2."""
    try:
        parser = utils.build_parser("", utils.ARGUMENTS[name].programs[0], {})
        return getattr(parser.parse_args([f"--{name}={text}"]), name)
    except SystemExit as exit_:
        assert exit_.code == 2
        return None


def test_all_numbers_of_the_table_are_looked_at():
    assert set(WHOLE) < set(NUMBERS) and len(NUMBERS) == len(WHOLE) + 10


@pytest.mark.parametrize("name", [*NUMBERS, "milestones"])
@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "-inf", "infinity", "1e400", "-1e400", "-1", "-1e-9", "",
                                  " ", "1_000", "１２", "٣", "1e", "0x10", " 1", "1 ", "1\n", "1,", "True", "9" * 5000])
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
    ("milestones", "0.3,0.6", "0.6,0.3"), ("milestones", ".5", "0.5,0.5"), ("milestones", "1e-3", "0.5,1"),
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
