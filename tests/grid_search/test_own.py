"""run.sh own: the plan is kept, and what is finished is not run again."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from conf.methods import MODEL_TYPES
from grid_search import own
from grid_search.budget import Pictures
from tests.common import BASH, ROOT, environment, make_venv

METHODS = [name for name, kind in MODEL_TYPES.items() if not kind.imagenet]


@pytest.fixture
def pictures(tmp_path):
    for folder, count in (("pets/cat", 24), ("pets/dog", 24), ("more", 9)):
        (tmp_path / folder).mkdir(parents=True)
        for k in range(count):
            colour = (5 * k, 200 * (folder[-1] == "t"), 200 * (folder[-1] == "g"))
            Image.new("RGB", (40, 36), colour).save(tmp_path / folder / f"{k}.png")
    return tmp_path


def planned(folder, *words):
    """(lines for the shell, what is said, status) of a command line."""
    code = "from grid_search.own import main; main()"
    done = subprocess.run([sys.executable, "-c", code, folder, "pets", *words], cwd=ROOT, check=False,
                          capture_output=True, text=True, env=environment(TORCH_HOME=str(folder / "nothing")))
    return done.stdout.splitlines(), done.stderr, done.returncode


def test_the_plan_is_kept_until_something_else_is_asked_for(pictures):
    words = ["--unlabelled", "more", "--output-dir", "out"]
    lines, said, status = planned(pictures, *words)
    assert status == 0, said
    assert "left out: SupervisedPretrained and SupervisedPretrainedFinetune: ImageNet weights are not at" in said
    assert "34 labelled pictures of 2 classes to train on" in said
    assert "9 without labels; shorter sides about 36 px" in said
    assert "expected time: " in said and "(asked for: 20)" in said
    assert lines[0].startswith("python pretrain.py") and f"--unlabelled {pictures / 'more'}" in lines[0]
    assert lines[-1] == f"python report.py --data folder --res {pictures / 'out' / 'res'}"
    assert len(lines) == 2 + 3 * len(METHODS) and "too few labels for runs with 0.1 of them" in said

    plan = pictures / "out" / "plan.yml"
    found = yaml.safe_load(plan.read_text())
    found["pretraining"].update({"epochs": 7, "image-size": 48})  # somebody edits it
    plan.write_text(yaml.safe_dump(found))
    lines, said, _ = planned(pictures, *words)
    assert "--epochs 7 " in lines[0] and "--image-size 48 " in lines[0] and "goes on" in said
    lines, said, _ = planned(pictures, *words, "--minutes", "2")
    assert "--epochs 7 " not in lines[0] and "(asked for: 2)" in said
    assert "for other minutes; the one before is kept in plan_before.yml" in said
    assert yaml.safe_load(plan.with_name("plan_before.yml").read_text()) == found


@pytest.mark.parametrize("words, status, message", [
    (["--epochs", "3"], 2, "--epochs: run.sh own decides that itself"), (["--minutes", "0"], 2, "--minutes"),
    (["--unlabelled", "nowhere"], 1, "nowhere"), (["--device", "cuda:9"], 1, "--device cuda:9 is not there"),
    (["--device", "gpu"], 2, "--device: 'gpu' is none of cpu"),
    (["--data", "digits"], 2, "--data")])
def test_wrong_input_is_one_line(pictures, words, status, message):
    lines, said, found = planned(pictures, "--output-dir", "out", *words)
    *_, last = said.splitlines()
    assert (found, lines) == (status, []) and last.startswith("error: ") and message in last
    assert not (pictures / "out").exists()


@pytest.mark.parametrize("change, message", [
    (lambda plan: "asked: [", "it is no plan"), (lambda plan: "", "it is no plan"),
    (lambda plan: "hello", "it is no plan"),
    (lambda plan: plan.replace("seeds: 3", "seeds: 0"), "seeds must be a whole number from 1"),
    (lambda plan: plan.replace("seeds: 3", ""), "seeds must be"),
    (lambda plan: plan.replace("image-size", "size"), "image-size"),
    (lambda plan: plan.replace("model-type: Untrained", "model-type: Foo"), "model-type: SelfSupervisedPretrained")])
def test_a_plan_that_cannot_be_read_is_not_written_over(tmp_path, change, message):
    plan = tmp_path / "plan.yml"
    assert own.read_plan(plan) is None
    good = ("asked: {minutes: 20.0}\nimages: {train: a}\npretraining: {image-size: 32}\nseeds: 3\n"
            "trainings:\n- {model-type: Untrained}\n")
    plan.write_text(good)
    assert own.read_plan(plan)["seeds"] == 3
    plan.write_text(change(good))
    with pytest.raises(ValueError, match=f"^{re.escape(str(plan))}: .*{message}.*; correct it, or delete it"):
        own.read_plan(plan)


@pytest.mark.parametrize("each, few", [(25, 4), (35, 8)])
def test_pictures_are_counted_as_a_training_takes_them(tmp_path, monkeypatch, each, few):
    labels = np.repeat([0, 1], each)
    split = SimpleNamespace(labels=labels, rows=np.arange(2 * each), classes=["a", "b"])
    found = SimpleNamespace(train=split, test=split, positions={"train": split.rows, "val": split.rows[:0]})
    monkeypatch.setattr(own, "open_pretraining", lambda args: split)
    monkeypatch.setattr(own, "pretraining_words", lambda *_: ["--data", "digits"])
    assert own.count(None, None, 32, found) == Pictures(2 * each, few, 2, 2 * each, 0)


def test_another_split_has_another_folder(pictures):
    """Best settings are chosen on validation: those of two splits must not be mixed."""
    assert planned(pictures, "--output-dir", "out")[2] == 0
    split = pictures / "pets/store/split.csv"
    split.write_text(split.read_text().replace(",val", ",x").replace(",test", ",val").replace(",x", ",test"))
    lines, said, status = planned(pictures, "--output-dir", "out")
    assert (lines, status) == ([], 1) and "holds runs on other pictures, or another split" in said


@pytest.mark.parametrize("words, message", [
    (["--unlabelled", "pets/cat"], "lie in one another"), (["--unlabelled", "."], "lie in one another"),
    (["--unlabelled", "pets"], "lie in one another"), (["--output-dir", "pets/out"], "would lie among the pictures"),
    (["--unlabelled", "more", "--output-dir", "more/out"], "would lie among the pictures"),
    (["--output-dir", "pets/cat/0.png"], "would lie among"), (["--output-dir", "file"], "a file; --output-dir names")])
def test_places_that_would_mix_are_refused(pictures, monkeypatch, words, message):
    monkeypatch.setattr(sys, "argv", ["run.sh"])
    (pictures / "file").write_text("")
    with pytest.raises(ValueError, match=message):
        own.parse(["pets", *words], pictures)


@pytest.mark.parametrize("name", ["new\nline", "caf\udce9"])
def test_a_name_that_breaks_a_line(tmp_path, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", ["run.sh"])
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="no line of a shell can hold"):
        own.parse([name], tmp_path)


def test_no_folder_at_all(tmp_path):
    lines, said, status = planned(tmp_path)
    assert status == 1 and lines == [] and said.splitlines()[-1].startswith("error: ") and "pets" in said


@pytest.mark.soak
def test_all_of_it_twice(pictures):
    """With the real programs: the second time nothing is run but the report."""
    make_venv(pictures / "venv", 'echo "started $*"; exec "$real" "$@"', unless="- | -*")

    def start():
        done = subprocess.run([BASH, str(ROOT / "run.sh"), "own", "pets", "--unlabelled", "more", "--minutes", "1",
                               "--output-dir", "out"], cwd=pictures, capture_output=True, text=True, check=False,
                              env=environment(VENV=str(pictures / "venv"), TORCH_HOME=str(pictures / "nothing")))
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("started")], done.stdout

    commands, out = start()
    assert len(commands) > 12 and "## In words" in out
    commands, out = start()
    assert len(commands) == 1 and "report.py" in commands[0] and "## In words" in out


@pytest.mark.parametrize("words", [["--output-dir", "elsewhere", "pets"], ["--device", "cpu", "pets"],
                                   ["--minutes", "3", "--amp", "off", "pets"]])
def test_the_folder_comes_before_options_of_all_programs(words, capsys):
    """Else their values would be taken for it."""
    with pytest.raises(SystemExit) as stop:
        own.parse(words, ".")
    assert stop.value.code == 2 and "the folder of the pictures comes before it" in capsys.readouterr().err


def test_its_own_options_may_come_first(tmp_path):
    (tmp_path / "pets").mkdir()
    words = ["--minutes", "3", "--output-dir=o", str(tmp_path / "pets"), "--device", "cpu"]
    found, args = own.parse(words, tmp_path)
    assert (found.folder, found.minutes, args.output_dir.name) == (tmp_path / "pets", 3, "o")
