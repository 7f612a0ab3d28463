"""predict.py: what test.py says of a dataset's pictures, for anybody's; nothing of a picture or a name is lost."""

import contextlib
import csv
import io
import itertools
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import predict
import test as test_program
import utils
from data import pictures
from records import checkpoint
from tests.checkpoints import make_checkpoint
from tests.common import rows_of

CLASSES = ("dark", "light", "odd")


@pytest.fixture
def pile(tmp_path, narrow):
    """d/{train,test}/<class>/: pictures of several sizes and kinds, and a checkpoint for them."""
    rng = np.random.default_rng(0)
    for split, name, k in itertools.product(("train", "test"), CLASSES, range(4)):
        size = (20 + 3 * k, 31, 3) if k else (16, 16, 3)
        pixels = rng.integers(0, 256, size, dtype=np.uint8) // (1 + (name == "dark"))
        folder = tmp_path / "d" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        image.convert("RGBA" if k == 2 else "RGB").save(folder / f"{k}.png" if k < 3 else folder / "3.jpg")
    make_checkpoint(tmp_path, CLASSES)
    return tmp_path


def run(root, *arguments, status=0):
    words = ["--model-type", "Supervised", "--data", "folder", "--data-dir", root / "d", "--output-dir", root,
             "--workers", "1", *arguments]
    assert utils.run(predict.main, list(map(str, words))) == status


def error_of(capsys):
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def logits_of(monkeypatch, program, name, pick):
    """What a program's function gives, call after call."""
    seen, function = [], getattr(program, name)

    def kept(*arguments):
        found = function(*arguments)
        seen.append(pick(found))
        return found
    monkeypatch.setattr(program, name, kept)
    return seen


@pytest.mark.parametrize("data, image_size, batch_size", [("folder", 16, 3), ("folder", 16, 11), ("cifar100", 48, 256),
                                                          ("cifar100", 32, 256)])
def test_the_answers_are_those_of_test_py(image_folder, pile, monkeypatch, data, image_size, batch_size):
    """Bit for bit, whatever the batches: 12 pictures end in a single one after 11."""
    classes = CLASSES if data == "folder" else [f"class{k}" for k in range(4)]
    make_checkpoint(pile, classes, data, image_size=image_size)
    root = pile / "d" if data == "folder" else pile / "data"
    common = ["--model-type", "Supervised", "--data", data, "--data-dir", str(root), "--output-dir", str(pile),
              "--batch-size", str(batch_size)]
    tested = logits_of(monkeypatch, test_program, "predict", lambda found: found[0])
    assert utils.run(test_program.main, [*common, "--csv-dir", str(pile / "csv")]) == 0
    answered = logits_of(monkeypatch, predict, "forward", lambda found: found[1])
    folder = root / "test" if data == "folder" else root / "cifar100" / "test"
    assert utils.run(predict.main, [*common, "--out", str(pile / "out.csv"), str(folder)]) == 0
    assert len(answered) == (1 if batch_size > 3 else 4) and torch.equal(torch.cat(answered), tested[0])
    before, after = rows_of(pile / "csv" / "predictions.csv"), rows_of(pile / "out.csv")
    assert len(after) == 12 and len({row["class"] for row in after}) > 1
    assert [os.path.basename(os.path.dirname(row["file"])) for row in after] == [row["true_class"] for row in before]
    assert [(row["image"], row["file"], row["predicted_class"], row["probability"]) for row in before] == [
        (str(k), row["file"], row["class"], row["probability"]) for k, row in enumerate(after)]


def test_all_probabilities_of_three_classes(pile):
    run(pile, pile / "d" / "test", "--out", pile / "out.csv")
    for row in rows_of(pile / "out.csv"):
        shares = [float(row[name]) for name in ("probability", "probability2", "probability3")]
        assert sorted(shares, reverse=True) == shares and sum(shares) == pytest.approx(1, abs=1e-5)
        assert {row["class"], row["class2"], row["class3"]} == set(CLASSES)


def test_a_broken_picture_does_not_hinder_the_others(pile, capsys):
    run(pile, pile / "d" / "test", "--out", pile / "whole.csv")
    (pile / "bad.png").write_bytes(b"no picture")
    half = (pile / "d/test/dark/1.png").read_bytes()
    (pile / "half.png").write_bytes(half[:len(half) // 2])
    capsys.readouterr()
    given = [pile / "bad.png", pile / "d" / "test", pile / "gone.png", pile / "half.png"]
    run(pile, *given, "--out", pile / "out.csv", status=1)
    lines = capsys.readouterr().err.splitlines()
    broken = [line for line in lines if line.startswith("broken: ")]
    assert [name in line for name, line in zip(("bad.png", "gone.png", "half.png"), broken, strict=True)] == [True] * 3
    assert "no such file" in broken[1] and lines[-1].startswith("error: 3 of 15 pictures could not be read")
    rows = rows_of(pile / "out.csv")
    assert [rows.pop(k)["class"] for k in (14, 13, 0)] == [""] * 3 and rows == rows_of(pile / "whole.csv")


ODD = ["new\nline.png", 'quo"te.png', "com,ma.png", " blank .png", "-dash.png", "no utf-8 \udcff.png", "é☃.png"]


def test_odd_names_survive(pile, monkeypatch):
    """In the table, on standard output, and from there as a list again."""
    monkeypatch.chdir(pile)
    (pile / "odd").mkdir()
    for k, name in enumerate(ODD):
        Image.new("RGB", (16, 16), (30 * k, 200 - 20 * k, 90)).save("tmp.png")
        os.rename("tmp.png", os.path.join("odd", name))
    run(pile, "odd", "--out", pile / "out.csv")
    text = (pile / "out.csv").read_bytes().decode("utf-8", "surrogateescape")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert sorted(row[0] for row in rows[1:]) == sorted(os.path.join("odd", name) for name in ODD)
    os.rename("out.csv", "list.csv")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(stdout):
        run(pile, "list.csv")
    assert stdout.buffer.getvalue() == (pile / "list.csv").read_bytes() and sys.stdout is not stdout


def test_lists(pile, monkeypatch):
    """Names count from where one is, else from where the list lies; a CSV's column is found by its title."""
    test = pile / "d" / "test"
    monkeypatch.chdir(pile)
    (test / "list.txt").write_bytes("\ufeffdark/0.png\r\n\r\nodd/1.png\nd/test/odd/2.png".encode())
    (test / "titled.csv").write_text('label,part,file\nx,test,dark/0.png\nx,test,"odd/1.png"\n')
    (test / "plain.tsv").write_text("dark/0.png\tx\nodd/1.png\tx\n")
    run(pile, test / "list.txt", test / "titled.csv", test / "plain.tsv", "--out", "out.csv")
    rows = rows_of(pile / "out.csv")
    twice = ["dark/0.png", "odd/1.png"]
    assert [row["file"] for row in rows] == [*twice, "d/test/odd/2.png", *twice, *twice]
    assert rows[0]["class"] == rows[3]["class"] == rows[5]["class"] and all(row["class"] for row in rows)


@pytest.mark.parametrize("name, content, message", [
    ("gone.txt", None, "gone.txt: the list cannot be read (No such file"), ("zero.csv", b"a\0b", "zero bytes"),
    ("utf16.txt", "a.png".encode("utf-16"), "zero bytes"), ("long.csv", b'"' + b"a" * 200000, "field larger"),
    ("empty.txt", b"\n\n", "no pictures in"), ("empty.d", "folder", "no pictures in")])
def test_without_pictures_nothing_is_written(pile, capsys, name, content, message):
    if content == "folder":
        (pile / name).mkdir()
    elif content is not None:
        (pile / name).write_bytes(content)
    capsys.readouterr()
    run(pile, pile / name, "--checkpoint", pile / "checkpoint/Supervised/run/last.pth", "--out", pile / "out.csv",
        "--features", pile / "f.npz", status=1)
    assert message in error_of(capsys)
    assert not [path for path in pile.iterdir() if path.name.startswith(("out.csv", "f.npz"))]


def test_a_table_that_cannot_be_written(pile, capsys):
    given = ["--checkpoint", pile / "checkpoint/Supervised/run/last.pth", pile / "d"]
    for flag in ("--out", "--features"):
        run(pile, *given, flag, pile / "no" / "file", status=1)
        assert f"use {flag} in another FOLDER" in error_of(capsys)


def test_the_most_uncertain_come_first(pile):
    (pile / "d/test/dark/0.png").write_bytes(b"")
    run(pile, pile / "d" / "test", "--out", pile / "given.csv", status=1)
    run(pile, pile / "d" / "test", "--out", pile / "sorted.csv", "--sort", "uncertain", "--batch-size", "2", status=1)
    given, found = rows_of(pile / "given.csv"), rows_of(pile / "sorted.csv")
    shares = [float(row["probability"]) for row in found[:-1]]
    assert shares == sorted(shares) and found[-1]["class"] == "" and len(found) == 12
    assert sorted(row["file"] for row in given) == sorted(row["file"] for row in found)
    assert [row["file"] for row in given] != [row["file"] for row in found]


def test_a_training_picture_is_its_own_neighbour(pile):
    run(pile, pile / "d" / "train", "--neighbours", "2", "--out", pile / "out.csv")
    rows = rows_of(pile / "out.csv")
    assert len(rows) == 12 and all(row["neighbour1"] == row["file"] != row["neighbour2"] for row in rows)
    run(pile, pile / "d" / "train" / "odd", "--neighbours", "14", "--out", pile / "out.csv")
    for row in rows_of(pile / "out.csv"):
        assert len({row[f"neighbour{k}"] for k in range(1, 13)}) == 12
        assert row["neighbour13"] == row["neighbour14"] == ""


def test_neighbours_without_files_are_rows(pile, tmp_path):
    make_checkpoint(tmp_path, list("56789"), "digits", image_size=8, model_type="SupervisedPretrained")
    words = ["--model-type", "SupervisedPretrained", "--data", "digits", "--output-dir", tmp_path, "--neighbours", "1"]
    from data.datasets import load_split
    train = load_split("digits", "train", tmp_path)
    row = int(train.rows[17])
    Image.fromarray(train.images[row]).save(tmp_path / "digit.png")
    assert utils.run(predict.main, [*map(str, words), f"{tmp_path}/digit.png", "--out", f"{tmp_path}/o.csv"]) == 0
    assert rows_of(tmp_path / "o.csv")[0]["neighbour1"] == str(row)


def test_features_and_their_names(pile, monkeypatch):
    (pile / "d/test/light/1.png").write_bytes(b"")
    seen = logits_of(monkeypatch, predict, "forward", lambda found: found[0])
    run(pile, pile / "d/test", "--features", pile / "f.npz", "--out", pile / "out.csv", "--batch-size", "4", status=1)
    found = np.load(pile / "f.npz")
    assert found["features"].dtype == np.float32 and found["features"].shape == (11, 64)
    assert np.array_equal(found["features"], torch.cat(seen).numpy())
    assert found["names"].tolist() == [row["file"] for row in rows_of(pile / "out.csv") if row["class"]]


def test_a_checkpoint_that_classifies_nothing(pile, capsys):
    path = pile / "checkpoint/Supervised/run/last.pth"
    state = checkpoint.read(path)
    state["config"]["model_type"] = "SelfSupervisedPretraining"
    del state["classes"]
    checkpoint.save(pile / "pre.pth", state)
    assert utils.run(predict.main, ["--checkpoint", str(pile / "pre.pth"), str(pile / "d")]) == 1
    assert "not a checkpoint of train.py but of SelfSupervisedPretraining" in error_of(capsys)
    assert utils.run(predict.main, ["--checkpoint", str(path), "--data", "digits", str(pile / "d")]) == 1
    assert "was trained on folder" in error_of(capsys)
    run(pile / "elsewhere", pile / "d", status=1)
    assert "no checkpoint of a finished run on folder" in error_of(capsys)


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_are_taken_as_they_are_needed(pile, workers):
    """Of endless ones only some ahead; in their order, also from several processes."""
    path, taken = str(pile / "d/test/dark/1.png"), itertools.count()
    endless = ((str(next(taken)), path) for _ in itertools.count())
    found = pictures.decoded(endless, 16, workers)
    names = [picture.name for picture in itertools.islice(found, 200)]
    found.close()
    assert names == [str(k) for k in range(200)]
    assert next(taken) <= 200 + (2 * workers + 2) * pictures.CHUNK


@pytest.mark.parametrize("broken", [(), (0, 3, 10), range(11)])
def test_batches_are_those_of_the_readable_ones(broken):
    made = [pictures.Picture(str(k), None if k in broken else k, "") for k in range(11)]
    batches = list(predict.batched(iter(made), 3))
    assert [picture for batch in batches for picture in batch] == made
    readable = [sum(picture.image is not None for picture in batch) for batch in batches]
    assert readable in ([3, 3, 3, 2], [3, 3, 2], [0] * len(batches)) and max(map(len, batches)) <= 8


@pytest.mark.parametrize("target, count", [("d", 12), ("d/test", 12), ("d/test/odd", 12), ("d/train", 24)])
def test_links_to_folders_are_followed_once_and_not_upwards(pile, target, count):
    os.symlink(pile / target, pile / "d" / "test" / "again")
    found = list(pictures.pictures([str(pile / "d" / "test")]))
    assert len(found) == len({os.path.realpath(path) for _, path in found}) == count


def test_what_is_no_picture_is_named(pile):
    (pile / "d/test/dark/notes.doc").write_text("x")
    said = []
    assert len(list(pictures.pictures([str(pile / "d" / "test")], said.append))) == 12
    assert len(said) == 1 and "dark/notes.doc" in said[0]


def test_a_pipe_is_no_picture(pile, capsys):
    os.mkfifo(pile / "pipe.png")
    run(pile, pile / "pipe.png", "--out", pile / "out.csv", status=1)
    assert "pipe.png: not a readable image (a pipe or a device)" in capsys.readouterr().err


def test_what_is_read_is_not_written_over(pile, capsys):
    path, listed = str(pile / "checkpoint/Supervised/run/last.pth"), pile / "list.csv"
    listed.write_text(str(pile / "d/test/dark/0.png"))
    for words in (["--out", listed], ["--features", listed], ["--out", pile / "d/../list.csv"], ["--out", path]):
        with pytest.raises(SystemExit) as stop:
            predict.parse(["--checkpoint", path, str(listed), *map(str, words)])
        assert stop.value.code == 2 and "would be written over" in error_of(capsys)
    os.mkfifo(pile / "pipe")
    for words in (["--out", pile / "pipe"], ["--features", pile]):
        with pytest.raises(SystemExit) as stop:
            predict.parse(["--checkpoint", path, str(listed), *map(str, words)])
        assert stop.value.code == 2 and "not a file" in error_of(capsys)


def test_a_folder_that_cannot_be_listed_hinders_nothing(pile, monkeypatch, capsys):
    scandir = os.scandir

    def refused(path):
        if os.path.basename(os.fspath(path)) == "light":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)
    monkeypatch.setattr(os, "scandir", refused)
    run(pile, pile / "d" / "test", "--out", pile / "out.csv", status=1)
    assert "light: not a readable image (Permission denied)" in capsys.readouterr().err
    assert [bool(row["class"]) for row in rows_of(pile / "out.csv")] == [True] * 4 + [False] + [True] * 4


def test_rows_come_as_they_are_made(pile):
    """Before the next batch is classified, also on standard output."""
    given = [str(pile / "d/test/dark/1.png")] * 9
    args = predict.parse(["--checkpoint", f"{pile}/checkpoint/Supervised/run/last.pth", "--batch-size", "3", *given])
    classifier, table, seen = predict.load(args), io.StringIO(newline=""), []
    predict.classify(args, classifier,
                     lambda found: seen.append(table.getvalue().count("\n")) or [[]] * len(found), table, None)
    assert seen == [0, 4, 7] or seen == [1, 4, 7]
