"""The programs on own images with a split: nothing to choose or test on is pre-trained on, another split is another
run."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import predict
import pretrain
import test as test_program
import train
from data.datasets import load_split
from data.duplicates import copies, from_state
from records import checkpoint
from tests.common import rows_of
from training import images
from training.command_line import effective, parse_pretrain, parse_train
from utils import run

pytestmark = pytest.mark.usefixtures("narrow")
SHORT = ["--epochs", "1", "--batch-size", "8", "--lr", "0.01", "--amp", "off", "--image-size", "8", "--workers", "1"]
PRETRAIN = [*SHORT, "--sample-ratio", "1"]


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """Three classes of ten pictures; the working folder is the one that they are in."""
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("ant", "bee", "cat")):
        for k in range(10):
            paint(tmp_path / "pets" / name / f"{k}.png", 100 * label + k)
    return tmp_path / "pets"


def paint(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def call(program, *words):
    return run(program.main, ["--data", "folder", "--data-dir", "pets", *map(str, words)])


def trained(*words):
    return call(train, "--model-type", "Supervised", *SHORT, *words)


def yaml_of(pattern):
    paths = sorted(Path("res").glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    return yaml.safe_load(paths[-1].read_text())


def parts():
    with open("pets/store/split.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, rows, header=("file", "label", "part")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, header, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def overlap():
    """How many images to choose and to test on are among those that the newest pre-training has learned from."""
    last = max(Path("checkpoint").glob("*Pretraining/*/last.pth"), key=lambda path: path.stat().st_mtime_ns)
    known = from_state(checkpoint.read(last)["seen"])
    whole, test = (load_split("folder", part, "pets", 8, workers=1) for part in ("train", "test"))
    return int(copies(whole, whole.val, known).sum()), int(copies(test, test.rows, known).sum()), len(known["files"])


@pytest.mark.parametrize("model_type", ["SelfSupervisedPretraining", "SupervisedPretraining"])
def test_pre_training_sees_the_training_part_alone(pets, capsys, model_type):
    assert call(pretrain, "--model_type", model_type, *PRETRAIN) == 0
    assert overlap() == (0, 0, 21)
    assert "left out of pre-training: 3 images to choose on, 6 to test on" in capsys.readouterr().out
    linear = model_type.replace("Pretraining", "Pretrained")
    words = ["--pretrained-model-path", *Path("checkpoint").glob("*/*/last.pth")]
    assert call(train, "--model-type", linear, *SHORT, *words) == 0
    assert yaml_of(f"{linear}_*.yml")["duplicates"] == {
        "train/val": 0, "train/test": 0, "pretraining/val": 0, "pretraining/test": 0, "labels": 0}
    assert call(test_program, "--model-type", linear) == 0
    out = capsys.readouterr().out
    assert ", 6 images" in out and "duplicates" not in out


def test_unlabelled_folders_are_pre_trained_on_but_for_copies_of_what_is_judged_by(pets, capsys):
    assert trained() == 0  # draws the split
    for k in range(4):
        paint(pets / "unlabelled" / f"{k}.png", 900 + k)
        paint(pets.parent / "more/deep" / f"{k}.png", 950 + k)
    for number, row in enumerate(parts()):
        if row["part"] != "train":
            shutil.copy(pets / row["file"], pets / "unlabelled" / f"copy{number}.png")
            Image.open(pets / row["file"]).save(pets.parent / "more" / f"copy{number}.bmp")
    assert call(pretrain, *PRETRAIN, "--unlabelled", "more") == 0
    out = capsys.readouterr().out
    assert overlap() == (0, 0, 21 + 4 + 4)
    assert "left out of pre-training: 9 of 13 images of more, copies of images to choose or test on" in out
    assert "SelfSupervisedPretraining on 29 images" in out and "knn accuracy" in out
    with_more = yaml_of("pretrain_*.yml")["data"]
    assert call(pretrain, *PRETRAIN) == 0 and overlap() == (0, 0, 25)
    assert yaml_of("pretrain_*.yml")["data"] != with_more
    assert call(pretrain, "--model_type", "SupervisedPretraining", *PRETRAIN) == 0 and overlap() == (0, 0, 21)


def test_unlabelled_pictures_beside_train_and_test(pets, capsys):
    parted = pets.parent / "parted"
    for name in ("ant", "bee", "cat"):
        for k in range(10):
            place = parted / ("test" if k < 3 else "train") / name / f"{k}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pets / name / f"{k}.png", place)
    assert call(pretrain, *PRETRAIN, "--data-dir", "parted", "--unlabelled", "pets", "--val-ratio", "0.3") == 0
    out = capsys.readouterr().out
    for said in ("6 images to choose on, 9 to test on", "15 of 30 images of pets, copies"):
        assert f"left out of pre-training: {said}" in out
    assert call(train, "--model-type", "SelfSupervisedPretrained", *SHORT, "--data-dir", "parted",
                "--val-ratio", "0.3") == 0
    found = yaml_of("SelfSupervisedPretrained_*.yml")["duplicates"]
    assert found["pretraining/val"] == found["pretraining/test"] == 0


def test_what_is_held_out_is_the_part_val(pets):
    assert trained() == 0
    found = yaml_of("Supervised_*.yml")
    assert "val_ratio" not in found["settings"] and "val_seed" not in found["settings"]
    assert all(rows_of(path)[0]["val_accuracy"] for path in Path("res").glob("*.csv"))


@pytest.mark.parametrize("parse, words", [(parse_train, ["--model-type", "Supervised"]), (parse_pretrain, [])])
@pytest.mark.parametrize("flag", ["--val-ratio", "--val-seed"])
def test_flags_that_hold_out_are_refused_with_a_split(pets, capsys, parse, words, flag):
    for more in ([], ["--split", "any.csv"]):
        with pytest.raises(SystemExit) as stop:
            parse([*words, "--data", "folder", "--data-dir", "pets", flag, "0", *more])
        assert stop.value.code == 2
        assert f"{flag}: the images to choose on are those of the part val of" in capsys.readouterr().err
    for name in ("train", "test"):
        shutil.copytree("pets", f"parted/{name}")
    args = parse([*words, "--data", "folder", "--data-dir", "parted", flag, "0"])
    assert {"val_ratio", "val_seed"} - {flag[2:].replace("-", "_")} <= set(vars(args)) and args.val_seed == 0
    assert "val_ratio" in effective(args, {"image_size": 32, "stem": "3x3"})


def test_another_split_is_another_run_and_the_same_from_elsewhere_is_the_same(pets, capsys):
    assert trained() == 0 == call(pretrain, *PRETRAIN)
    rows = parts()
    write("mine.csv", rows[::-1])
    capsys.readouterr()
    assert trained("--split", "mine.csv") == 0 == call(pretrain, *PRETRAIN, "--split", "mine.csv")
    assert capsys.readouterr().out.count("is finished, see") == 2
    number = next(k for k, row in enumerate(rows) if row["part"] == "test")
    other = next(k for k, row in enumerate(rows) if row["part"] == "train")
    rows[number]["part"], rows[other]["part"] = "train", "test"
    write("mine.csv", rows)
    assert trained("--split", "mine.csv") == 0 == call(pretrain, *PRETRAIN, "--split", "mine.csv")
    assert "is finished" not in capsys.readouterr().out and len(list(pets.parent.glob("res/*.csv"))) == 4


def test_a_network_that_knows_the_test_of_another_split_is_refused_and_told(pets, capsys):
    """Also where only the split has changed since the training."""
    assert call(pretrain, *PRETRAIN) == 0 == trained()
    rows, swap = parts(), {"train": "test", "test": "train", "val": "val"}
    write("mine.csv", [{**row, "part": swap[row["part"]]} for row in rows])
    assert call(train, "--model-type", "SelfSupervisedPretrained", *SHORT, "--batch-size", "4",
                "--split", "mine.csv") == 1
    line, = capsys.readouterr().err.splitlines()
    assert "21 images to choose or test on have been pre-trained on" in line
    assert "pre-train with the same split," in line
    assert call(test_program, "--model-type", "Supervised", "--split", "mine.csv") == 0
    assert "duplicates: 21 of 21 images of the test are exact copies" in capsys.readouterr().out


def test_later_programs_go_by_the_split_of_the_run(pets, capsys):
    load_split("folder", "train", "pets", 8, workers=1)
    rows = parts()
    for row in rows[:5]:
        row["part"] = "test"
    write("mine.csv", rows)
    assert trained("--split", "mine.csv") == 0
    tested = sum(row["part"] == "test" for row in rows)
    assert call(test_program, "--model-type", "Supervised") == 0
    assert f", {tested} images" in capsys.readouterr().out and tested > 6
    known = {f"pets/{row['file']}" for row in rows if row["part"] != "test"}
    for row in rows:
        words = ["--model-type", "Supervised", "--neighbours", "1", f"pets/{row['file']}", "--out", "out.csv"]
        assert call(predict, *words) == 0
        found, = rows_of("out.csv")
        assert found["neighbour1"] in known
        if row["part"] == "train":
            assert found["neighbour1"] == f"pets/{row['file']}"


@pytest.mark.parametrize("program, words", [
    (train, ["--model-type", "Supervised", "--data", "cifar10", "--split", "x.csv"]), (pretrain, ["--split", "x.csv"]),
    (test_program, ["--model-type", "Supervised", "--split", "x.csv"]), (pretrain, ["--unlabelled", "x"]),
    (pretrain, ["--data", "folder", "--model_type", "SupervisedPretraining", "--unlabelled", "x"])])
def test_flags_without_a_use_are_refused(capsys, program, words):
    with pytest.raises(SystemExit) as stop:
        program.main(words)
    said = "--split is for own images" if "--split" in words else "--unlabelled is for pre-training without labels"
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_new_pictures_change_no_run_and_are_told(pets, capsys):
    assert trained() == 0
    paint(pets / "ant/new.png", 999)
    assert trained() == 0
    out = capsys.readouterr().out
    assert "is finished, see" in out
    assert out.count("does not list 1 of the pictures in pets, which are left out; the first is ant/new.png") == 1


@pytest.mark.parametrize("inside", ["cat", "."])
def test_pictures_without_labels_lie_outside(tmp_path, capsys, inside):
    """Else a folder of them would be one more class."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    with pytest.raises(SystemExit) as stop:
        parse_pretrain(["--data", "folder", "--data-dir", str(tmp_path / "pets"),
                        "--unlabelled", str(tmp_path / "pets" / inside)])
    assert stop.value.code == 2 and "lie in one another" in capsys.readouterr().err


def test_classes_that_are_others_to_test_on_are_refused(pets, capsys, monkeypatch):
    def turned(name, part, *more, **options):
        split = load_split(name, part, *more, **options)
        return split._replace(classes=split.classes[::-1]) if part == "test" else split

    monkeypatch.setattr(images, "load_split", turned)
    assert trained() == 1
    line, = capsys.readouterr().err.splitlines()
    assert "other classes than the training images: cat, bee, ant and ant, bee, cat;" in line


def others(root, first=5000):
    """Other pictures of the same classes."""
    for label, name in enumerate(("ant", "bee", "cat")):
        for k in range(10):
            paint(root / name / f"{k}.png", first + 100 * label + k)


def applied(capsys, program, *words):
    """(lines, the run that was applied) of a program that ends well."""
    capsys.readouterr()
    assert call(program, "--model-type", "Supervised", *words) == 0
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    return lines, {path for path in map(str, Path("checkpoint").glob("*/*")) if any(path in line for line in lines)}


def test_the_run_that_is_applied_was_made_from_these_images(pets, capsys):
    """Names of datasets and classes are no more than that: both folders share them."""
    others(pets.parent / "fruit")
    assert trained() == 0
    own, = map(str, Path("checkpoint").glob("*/*"))
    assert trained("--data-dir", "fruit") == 0
    newest, = {str(path) for path in Path("checkpoint").glob("*/*")} - {own}
    shutil.copytree("pets", "moved")
    for folder in ("pets", "moved", pets):
        lines, runs = applied(capsys, test_program, "--data-dir", folder)
        assert runs == {own} and not any("these are not" in line for line in lines)
    lines, runs = applied(capsys, test_program, "--checkpoint", f"{newest}/best.pth")
    line, = [line for line in lines if "these are not" in line]
    assert runs == {newest} and line.endswith("not the test images of that run, which was on folder in fruit")
    near = ["--neighbours", "1", "pets/ant/0.png", "--out", "out.csv"]
    assert applied(capsys, predict, *near)[1] == {own}
    assert not any(line.startswith("neighbours") for line in applied(capsys, predict, *near)[0])
    line, = [line for line in applied(capsys, predict, *near, "--checkpoint", f"{newest}/best.pth")[0]
             if line.startswith("neighbours")]
    assert line == "neighbours: the training pictures in pets are not those that the network was trained on"
    others(Path("moved"))
    lines, runs = applied(capsys, test_program, "--data-dir", "moved")
    assert runs == {newest} and not any("these are not" in line for line in lines), "those of fruit"
    others(Path("moved"), 7000)
    lines, runs = applied(capsys, test_program, "--data-dir", "moved")
    assert runs == {newest} and len([line for line in lines if "these are not" in line]) == 1


def test_programs_that_apply_a_network_find_the_split_of_its_run_and_draw_none(pets, capsys):
    assert trained("--store-dir", "stores") == 0
    split, = Path("stores").glob("*/split.csv")
    near = ["--neighbours", "1", "pets/ant/0.png", "--out", "out.csv"]
    for folder in ("pets", pets, "../" + pets.parent.name + "/pets"):
        for program, more in ((test_program, []), (predict, near)):
            lines, _ = applied(capsys, program, "--data-dir", folder, *more)
            assert not any("not th" in line for line in lines) and not (pets / "store").exists()
    kept = split.rename("mine.csv")
    for program, more in ((test_program, []), (predict, near)):
        for store in ([], ["--store-dir", "elsewhere"]):
            assert call(program, "--model-type", "Supervised", *store, *more) == 1
            line = capsys.readouterr().err.splitlines()[-1]
            assert "split.csv that says which pictures are to test on; name the one of the run with --split" in line
        applied(capsys, program, "--split", kept, *more)
    assert not list(Path().rglob("split.csv"))
