"""What a YAML file says of who made a run, also where somebody else went on with it."""

import sys
from argparse import Namespace

import torch
import yaml

from records import provenance
from records.runs import Identity
from records.setting import parts_of


def write(path, monkeypatch, machine, known=None, words=(), precision="off"):
    monkeypatch.setattr(provenance, "machine", lambda device: machine)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    provenance.write_config([path], "run", Identity({"lr": 0.1}, {}), {}, Namespace(), torch.device("cpu"), precision,
                            known)
    return yaml.safe_load(path.read_text())


def test_who_went_on_with_a_run_is_added_and_what_was_known_stays(tmp_path, monkeypatch):
    path = tmp_path / "run.yml"
    first = write(path, monkeypatch, "Abacus")
    assert "resumed" not in first and parts_of(first) == [first]
    assert write(path, monkeypatch, "Abacus", {**first, "made": "x"}) == {**first, "made": "x"}, "nothing has changed"
    second = write(path, monkeypatch, "Loom", {**first, "made": "x"}, ["--resume", "--device", "cuda"])
    changed = {"machine": "Loom", "command": "python train.py --device cuda"}
    assert second == {**first, "made": "x", "resumed": [changed]}
    third = write(path, monkeypatch, "Abacus", second, precision="bf16")
    assert third["resumed"][-1] == {"machine": "Abacus", "command": "python train.py", "precision": "bf16"}
    assert [part["machine"] for part in parts_of(third)] == ["Abacus", "Loom", "Abacus"]


def test_a_file_of_another_form_is_written_anew(tmp_path, monkeypatch):
    """Of an earlier version, or what somebody made of it."""
    path = tmp_path / "run.yml"
    wanted = write(path, monkeypatch, "Loom")
    assert write(path, monkeypatch, "Loom", {"machine": "Abacus"}) == wanted
    odd = write(path, monkeypatch, "Abacus", {**wanted, "resumed": ["yesterday"]})
    assert odd["resumed"] == [{"machine": "Abacus"}]
