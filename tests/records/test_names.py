"""Classes, datasets and model types with names that nobody thought of, from training to the report."""

import csv
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import yaml
from PIL import Image

import report
import test as test_program
import train
from records import checkpoint, runs
from records.names import printable, short
from utils import run as run_program

NAMES = ["$x_1$", "$5_$10", "a\nb", "t\tab", "quo\"te's, comma", "n" * 200, "שלום", "🐈 ü",
         os.fsdecode(b"\xff\xfe"), "<b>", "|pipe|", "\u202eevil", r"\frac{1", "^"]
ODD = [name for name in NAMES if not name.isprintable()]


@pytest.mark.parametrize("name", NAMES)
def test_a_printable_name_is_one_line_of_utf_8(name):
    text = printable(name)
    assert text.isprintable() and text.encode("utf-8") and printable(text) == text
    assert (text == name) == (name not in ODD)
    assert len(short(name, 24)) <= 24 and short(name, 300) == text


def test_joined_signs_stay_and_both_ends_of_a_long_name():
    family = "👩\u200d👧"
    assert printable(family) == family
    assert short("begin-" + "x" * 50 + "-end", 12) == "begin-…x-end"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A folder with a few images of each class, and a run of train.py on it."""
    root, random = tmp_path_factory.mktemp("named"), np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in NAMES:
            folder = root / "d" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    arguments = ["--model-type", "Supervised", "--data", "folder", "--epochs", "1", "--batch-size", "16",
                 "--lr", "0.01",
                 "--amp", "off", "--workers", "1", "--image-size", "16", "--data-dir", str(root / "d"),
                 "--output-dir", str(root / "o")]
    with warnings.catch_warnings(record=True) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr("supervised.resnet.WIDTH", 8)
        warnings.simplefilter("always")
        assert run_program(train.main, arguments) == 0
    assert not [str(warning.message) for warning in found if "Glyph" in str(warning.message)]
    return root


def test_training_keeps_the_names(named):
    path, = named.glob("o/checkpoint/Supervised/*/last.pth")
    assert sorted(checkpoint.read(path)["classes"]) == sorted(NAMES)
    metadata, = named.glob("o/runs/Supervised/*/*/test_features/metadata.tsv")
    lines = metadata.read_text(encoding="utf-8").split("\n")[:-1]
    assert sorted(lines) == sorted(2 * list(map(printable, NAMES))) and not any("\t" in line for line in lines)


def test_the_csvs_of_test_py_keep_the_names(named, tmp_path, capsys, narrow):
    arguments = ["--model-type", "Supervised", "--data", "folder", "--data-dir", str(named / "d"), "--output-dir",
                 str(named / "o"), "--csv-dir", str(tmp_path), "--amp", "off"]
    assert run_program(test_program.main, arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and said[3].startswith("hardest classes: ") and said[3].isprintable()
    with open(tmp_path / "classes.csv", newline="", encoding="utf-8") as file:
        found = {row["class"] for row in csv.DictReader(file)}
    assert found == {name.encode("utf-8", "backslashreplace").decode() for name in NAMES}


def test_a_terminal_that_knows_ascii_alone(tmp_path):
    """Nor is there a HOME, a TERM, or a git."""
    for number in range(8):
        folder = tmp_path / "ü" / ("train" if number < 4 else "test") / ("é" if number % 2 else "à")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")

    def run(status, program, *arguments):
        done = subprocess.run(
            [sys.executable, program.__file__, *arguments], cwd=tmp_path, capture_output=True, check=False,
            env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": "/nowhere",
                 "OMP_NUM_THREADS": "1"})
        assert done.returncode == status, done.stderr
        return done.stdout or done.stderr

    options = ["--model-type", "Supervised", "--data", "folder", "--data-dir", "ü", "--epochs", "1",
               "--batch-size", "2",
               "--val-ratio", "0", "--image-size", "16", "--workers", "1"]
    assert rb"\udcc3\udcbc/store" in run(0, train, *options, "--output-dir", "o")
    refused, = run(2, train, *options, "--output-dir", "ü").splitlines()
    assert rb"'\udcc3\udcbc' is not UTF-8" in refused
    assert rb"\xb1 is the sample standard deviation" in run(0, report, "--res", "o/res")
    config, = tmp_path.glob("o/res/*.yml")
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["commit"] is None


def write_run(folder, stem, accuracy):
    header = ",".join(runs.TRAIN_COLUMNS)
    cells = {"train_loss": 1, "val_accuracy": accuracy, "test_accuracy": accuracy, "seconds": 1}
    row = ",".join(str(cells.get(name, "")) for name in runs.TRAIN_COLUMNS[1:])
    (folder / f"{stem}.csv").write_text(f"{header}\n1,{row}\n2,{row}\n", encoding="utf-8")
    (folder / f"{stem}.yml").write_text(yaml.safe_dump({"epochs": 2}), encoding="utf-8")


def test_a_report_of_runs_with_such_names(tmp_path, capsys, recwarn):
    data = ["$5_$10", "a|b", "<b> c", "🐈", "d" * 90, os.fsdecode(b"\xff")]
    for k, name in enumerate(data):
        for ratio in (0.1, 1):
            write_run(tmp_path, f"Mo$del$_{name}-sgd-lr0.1-bs8-from{name}-ratio{ratio}", 0.1 + k / 10)
    assert report.main(["--res", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == "" and not [str(found.message) for found in recwarn if "Glyph" in str(found.message)]
    text = (tmp_path / "report" / "results.md").read_text(encoding="utf-8")
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert all(len({line.replace(r"\|", "").count("|") for line in lines}) == 1 for lines in tables)
    assert len(tables) == 2 * len(data) and r"a\|b" in text and "\\<b>" in text and "](best_%3Cb%3E%20c.png)" in text
    assert len(list(tmp_path.glob("report/best_*.png"))) == len(data)
