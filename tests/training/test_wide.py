"""Linear classifiers side by side: each ends as it would alone, to rounding."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

import train
import utils
from grid_search import side_by_side
from records import checkpoint
from tests.checkpoints import make_checkpoint
from tests.common import rows_of, run
from training import wide

SHARED = ["--model-type", "SelfSupervisedPretrained", "--epochs", "3", "--val-ratio", "0.2", "--amp", "off",
          "--batch-size", "7", "--eval-every", "1"]
OWN = [["--optimizer", "sgd", "--lr", "0.01"], ["--optimizer", "adam", "--lr", "0.003"],
       ["--optimizer", "lars", "--lr", "0.1", "--weight-decay", "1e-3"],
       ["--optimizer", "sgd", "--lr", "0.03", "--scheduler", "linear", "--warmup-epochs", "0"]]


@pytest.fixture
def group(image_folder, narrow, monkeypatch):
    """A function that trains what differs in some options, side by side, into a folder; the folder they lie in."""
    monkeypatch.chdir(image_folder)
    path = make_checkpoint(image_folder, "abcd", data="imagenet", stem="7x7", image_size=16,
                           model_type="SelfSupervisedPretraining")
    start = [*SHARED, "--pretrained-model-path", str(path), "--data-dir", "data"]

    def train_group(*members, shared=(), output="group"):
        Path(output).mkdir(exist_ok=True)
        commands = [(f"{output}/{number}.txt", ["train.py", *start, *shared, *own, "--output-dir", output])
                    for number, own in enumerate(members)]
        monkeypatch.setattr("sys.argv", ["side_by_side.py", json.dumps(commands)])
        side_by_side.main()
        return commands
    return train_group


def ends(folder):
    """{name of a run: (its CSV, last.pth, best.pth, predictions)}."""
    def read(path):
        last = folder / "checkpoint" / path.stem.replace("_", "/", 1)
        return (rows_of(path, timed=False), *(checkpoint.read(last / name) for name in ("last.pth", "best.pth")),
                np.load(path.with_suffix(".predictions.npy")))
    return {path.stem: read(path) for path in folder.glob("res/*.csv")}


def check_alike(found, wanted):
    assert found.keys() == wanted.keys()
    for name, (rows, last, best, predictions) in found.items():
        other_rows, other_last, other_best, other_predictions = wanted[name]
        assert [row["epoch"] for row in rows] == [row["epoch"] for row in other_rows]
        for row, other in zip(rows, other_rows):
            for column in ("learning_rate", "train_loss", "train_accuracy", "val_loss", "test_loss", "test_accuracy"):
                assert float(row[column]) == pytest.approx(float(other[column]), rel=1e-4, abs=1e-6), (name, column)
        assert last["epoch"] == other_last["epoch"] and best["epoch"] == other_best["epoch"], name
        for tensor, value in last["model"].items():
            assert np.allclose(value, other_last["model"][tensor], rtol=1e-3, atol=1e-5), (name, tensor)
        assert (predictions == other_predictions).mean() > 0.9


def alone(commands, output):
    for _, (_, *words) in commands:
        words[words.index("--output-dir") + 1] = output
        train.main(words)
    return ends(Path(output))


@pytest.mark.parametrize("shared", [
    [], ["--label-smoothing", "0.1", "--class-weights", "balanced"], ["--criterion", "MultiMarginLoss"],
    ["--feature-views", "2", "--feature-scaling", "none"]])
def test_each_ends_as_it_would_alone(group, shared):
    commands = group(*OWN, shared=shared)
    found = ends(Path("group"))
    check_alike(found, alone(commands, "alone"))
    assert len(found) == len(OWN)
    for number in range(len(OWN)):
        said = Path(f"group/{number}.txt").read_text()
        assert said.count("epoch 3/3") == 1 and "error" not in said
    for path in Path("group").glob("res/*.yml"):  # says how to make it alone
        assert "side_by_side" not in path.read_text() and "command: python train.py" in path.read_text()


def test_checkpoints_hold_no_more_than_those_of_a_run_alone(group):
    commands = group(*OWN[:2])
    alone(commands, "alone")
    sizes = {path.relative_to("group"): path.stat().st_size for path in Path("group").glob("**/last.pth")}
    assert len(sizes) == 2
    for path, size in sizes.items():
        assert size == pytest.approx((Path("alone") / path).stat().st_size, rel=0.02)


@pytest.mark.parametrize("step", [2, 5])
def test_cut_off_they_go_on_to_the_same(group, monkeypatch, step):
    """Stopped inside an epoch; then one of them is finished alone, and another has not begun."""
    group(*OWN, output="whole")
    taken = iter([None] * step + [signal.SIGTERM])

    class Stopping(wide.Signals):
        def take(self):
            return next(taken)

    with monkeypatch.context() as patch:
        patch.setattr(wide, "Signals", Stopping)
        with pytest.raises(utils.Interrupted, match=f"after a checkpoint in epoch {1 + step // 4}"):
            group(*OWN[:3])
    states = [checkpoint.read(path) for path in Path("group").glob("checkpoint/*/*/last.pth")]
    assert [state["epoch"] + bool(state["progress"]) for state in states] == [1 + step // 4] * 3
    group(OWN[0] + ["--resume"])
    group(*(own + ["--resume"] for own in OWN[:3]), OWN[3])
    check_alike(ends(Path("group")), ends(Path("whole")))
    assert Path("group/0.txt").read_text().count("left as it is") == 1


def test_one_that_diverges_leaves_and_the_others_go_on(group, capsys):
    commands = group(OWN[0], ["--optimizer", "sgd", "--lr", "1e30", "--warmup-epochs", "0"], OWN[1])
    said = Path("group/1.txt").read_text().splitlines()[-1]
    assert said.startswith("error: ") and "is not finite any more in epoch 1" in said
    diverged, = Path("group").glob("res/*lr1e+30*.csv")
    row, = rows_of(diverged)
    assert row["train_loss"] == "nan" and not list(Path("group").glob("checkpoint/*/*lr1e+30*/last.pth"))
    diverged.unlink()
    check_alike(ends(Path("group")), alone([commands[0], commands[2]], "alone"))
    with pytest.raises(Exception, match="lower --lr"):
        alone([commands[1]], "alone")


def test_one_that_cannot_start_says_so_in_its_log(group):
    group(OWN[0], ["--pretrained-model-path", "missing.pth"], OWN[1])
    said = [Path(f"group/{number}.txt").read_text() for number in range(3)]
    assert "epoch 3/3" in said[0] and "epoch 3/3" in said[2]
    assert said[1].startswith("error: ") and "missing.pth" in said[1] and said[1].count("\n") == 1
    assert len(ends(Path("group"))) == 2
