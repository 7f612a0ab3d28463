"""Whose file it is: what is no checkpoint at all, and checkpoints of our own programs in another's place."""

import json
import re
import struct

import numpy as np
import pytest
import torch

import test as test_program
import train
from conf.methods import MODEL_TYPES
from records import checkpoint
from supervised.resnet import resnet
from supervised_pretrained.start import check_start
from training.command_line import parse_train
from utils import run as run_program

TRAIN = ["--batch-size", "7", "--lr", "0.01", "--epochs", "1"]
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 10 ** 12]}}).encode()
FILES = {
    "empty": (b"", "it is empty.*download it again"),
    "page": (b"<!DOCTYPE html><html>not found</html>", "begins with b'<!DOCTYPE html>.*download it again"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "begins with"),
    "a header beyond all": (struct.pack("<Q", 2 ** 62) + b"{" + bytes(99), "header too large"),
    "offsets": (struct.pack("<Q", len(HEADER)) + HEADER, "damaged"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_checkpoint(tmp_path, name):
    content, message = FILES[name]
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=f"x.pth: .*{message}"):
        checkpoint.read(tmp_path / "x.pth")


class Attack:
    def __reduce__(self):
        import os
        return os.system, ("false",)


def test_nobody_is_told_to_run_what_a_file_says(tmp_path):
    torch.save({"state_dict": Attack()}, tmp_path / "code.pth")
    np.savez(tmp_path / "arrays.pth", a=np.zeros(3))
    torch.save({"a": np.array([{}], dtype=object)}, tmp_path / "objects.pth")
    for path in tmp_path.glob("*.pth"):
        with pytest.raises(ValueError) as error:
            checkpoint.read(path)
        assert "Re-running" not in str(error.value)
    with pytest.raises(ValueError, match="run (posix|nt).system, which no weights need; do not trust it"):
        checkpoint.read(tmp_path / "code.pth")


def test_a_folder_and_a_name_that_is_not_there(tmp_path):
    for path, message in ((tmp_path, "a folder"), (tmp_path / "x", "no file")):
        with pytest.raises(FileNotFoundError, match=f"{re.escape(str(path))}, where {message} lies"):
            checkpoint.read(path)


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_two_lines_make_plain_tensors_of_any_network(tmp_path, wrapped):
    model = resnet("resnet18", 3, "3x3")
    torch.save({"model": model.state_dict(), "when": __import__("datetime").date(2026, 1, 1)} if wrapped else model,
               tmp_path / "x.pth")
    with pytest.raises(ValueError, match="two lines of Python") as error:
        checkpoint.read(tmp_path / "x.pth")
    first, second = re.search(r"two lines of Python: (found = .*); (torch.save.*)$", str(error.value)).groups()
    exec(f"import torch\n{first}\n{second}".replace("'plain.pth'", repr(str(tmp_path / "plain.pth"))), {})
    assert checkpoint.read(tmp_path / "plain.pth").keys() == model.state_dict().keys()


def test_a_method_without_weights_takes_none(capsys):
    for name, kind in MODEL_TYPES.items():
        words = ["--model-type", name, "--pretrained-model-path", "x.pth"]
        if kind.pretraining:
            parse_train(words)
            continue
        with pytest.raises(SystemExit) as stop:
            parse_train(words)
        assert stop.value.code == 2 and "starts from no weights" in capsys.readouterr().err


def made_by(name, pretraining=None):
    return {"config": {"model_type": name}, "trained_as": {"pretraining": pretraining} if pretraining else {}}


SIMCLR = "SelfSupervisedPretraining"
OWN = [  # (file, whether labels made it)
    (made_by(SIMCLR), False), (made_by("VICReg"), False), (made_by("SupervisedPretraining"), True),
    (made_by("Supervised"), True),
    (made_by("SelfSupervisedPretrained", SIMCLR), False), (made_by("SelfSupervisedPretrainedFinetune", SIMCLR), True),
    (made_by("SupervisedPretrained", "SupervisedPretraining"), True)]


@pytest.mark.parametrize("name", [name for name, kind in MODEL_TYPES.items() if kind.pretraining])
def test_labels_made_our_own_weights_or_did_not(name):
    kind = MODEL_TYPES[name]
    for state, labels in OWN:
        if labels == name.startswith("Supervised"):
            check_start(state, kind, "x.pth")
            continue
        other = name.replace("SelfSupervised", "Supervised") if labels else f"Self{name}"
        with pytest.raises(ValueError, match=rf"x.pth: made by \w+, .*take --model-type {other}, "):
            check_start(state, kind, "x.pth")
    for state in ({}, {"config": None, "trained_as": 3}, made_by("somebody")):
        check_start(state, kind, "x.pth")
    for other in [other for other, row in MODEL_TYPES.items() if row.frozen and not row.pretraining]:
        with pytest.raises(ValueError, match=f"x.pth: made by {other}, whose backbone has learned nothing"):
            check_start(made_by(other), kind, "x.pth")


def test_testing_another_methods_checkpoint(image_folder, capsys):
    places = ["--data-dir", str(image_folder / "data"), "--output-dir", str(image_folder)]
    assert run_program(train.main, ["--model-type", "Supervised", *TRAIN, *places]) == 0
    path, = image_folder.glob("checkpoint/Supervised/*/last.pth")
    state = torch.load(path, weights_only=True)
    torch.save({**state, "config": {**state["config"], "model_type": SIMCLR}}, image_folder / "pretrained.pth")
    torch.save(state["model"], image_folder / "weights.pth")
    capsys.readouterr()
    for method, file, message in (("SupervisedPretrained", path, "of Supervised; test it with --model-type Supervised"),
                                  ("Supervised", image_folder / "pretrained.pth",
                                   f"not a checkpoint of train.py but of {SIMCLR}"),
                                  ("Supervised", image_folder / "weights.pth", "not a checkpoint of train.py;")):
        assert run_program(test_program.main, ["--model-type", method, "--checkpoint", str(file), *places]) == 1
        line, = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_csv_dir_that_cannot_be_is_refused_before_any_work(image_folder, capsys):
    (image_folder / "taken").write_text("a file")
    assert run_program(test_program.main, ["--model-type", "Supervised", "--csv-dir", str(image_folder / "taken"),
                                           "--output-dir", str(image_folder)]) == 1
    line, = capsys.readouterr().err.splitlines()
    assert "taken: cannot write the CSV files" in line and "--csv-dir FOLDER" in line
