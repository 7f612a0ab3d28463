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
from tests.common import rows_of
from training import signals

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


@pytest.mark.parametrize("step, batch_size, place", [(2, 7, (0, 2)), (5, 7, (1, 0)), (7, 7, (1, 2)), (2, 32, (2, 0))])
def test_cut_off_they_go_on_to_the_same(group, monkeypatch, step, batch_size, place):
    """Stopped inside an epoch or at its end, which may have one step; then one of them is finished alone, and another
    has not begun."""
    shared = ["--batch-size", str(batch_size)]
    group(*OWN, shared=shared, output="whole")
    taken = iter([None] * step + [signal.SIGTERM])

    class Stopping(signals.Signals):
        def take(self):
            return next(taken)

    with monkeypatch.context() as patch:
        patch.setattr(side_by_side, "Signals", Stopping)
        with pytest.raises(utils.Interrupted, match=f"after a checkpoint in epoch {1 + place[0]}; the same grid"):
            group(*OWN[:3], shared=shared)
    states = [checkpoint.read(path) for path in Path("group").glob("checkpoint/*/*/last.pth")]
    assert [(state["epoch"], (state["progress"] or {"step": 0})["step"]) for state in states] == [place] * 3
    group(OWN[0] + ["--resume"], shared=shared)
    group(*(own + ["--resume"] for own in OWN[:3]), OWN[3], shared=shared)
    check_alike(ends(Path("group")), ends(Path("whole")))
    assert Path("group/0.txt").read_text().count("left as it is") == 1


def test_between_epochs_all_are_saved_or_none(group, monkeypatch):
    """So that a group that is killed goes on as one."""
    saved, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, state: (saved.append((path.name, state["epoch"])),
                                                                 save(path, state)))
    monkeypatch.setattr("training.wide.SAVE_SECONDS", 0)
    group(*OWN)
    assert [epoch for name, epoch in saved if name == "last.pth"] == [1] * 4 + [2] * 4 + [3] * 4
    del saved[:]
    monkeypatch.setattr("training.wide.SAVE_SECONDS", 1000)
    group(*(own + ["--overwrite"] for own in OWN))
    assert [epoch for name, epoch in saved if name == "last.pth"] == [3] * 4


@pytest.mark.parametrize("minutes", ["1e-9", "60"])
def test_one_that_cannot_be_written_leaves_the_others(group, monkeypatch, minutes):
    save = checkpoint.save

    def failing(path, state):
        if "adam" in str(path):
            raise OSError("cannot write it")
        save(path, state)
    monkeypatch.setattr(checkpoint, "save", failing)
    group(*OWN, shared=["--checkpoint-minutes", str(minutes)])
    said = [Path(f"group/{number}.txt").read_text() for number in range(4)]
    assert said[1].splitlines()[-1] == "error: cannot write it" and said[1].count("error") == 1
    assert ["epoch 3/3" in text for text in said] == [True, False, True, True]


def test_where_none_can_be_written_all_say_so(group, monkeypatch):
    """Between two epochs, where nothing is left to train."""
    def failing(path, state):
        raise OSError("cannot write it")
    monkeypatch.setattr(checkpoint, "save", failing)
    monkeypatch.setattr("training.wide.SAVE_SECONDS", 0)
    group(*OWN)
    assert [Path(f"group/{number}.txt").read_text().splitlines()[-1] for number in range(4)] == [
        "error: cannot write it"] * 4
    assert {len(rows_of(path)) for path in Path("group").glob("res/*.csv")} == {1}


def test_an_interrupt_before_the_first_step_ends_all(group, monkeypatch):
    begun, prepare = [], side_by_side.prepare

    def interrupted(args, say):
        begun.append(args.lr)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return prepare(args, say)
    monkeypatch.setattr(side_by_side, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group(*OWN)
    assert len(begun) == 2 and not list(Path("group").glob("checkpoint/*/*/last.pth"))


@pytest.mark.parametrize("more", [[], ["--debug"]])
def test_what_cannot_be_shown_is_said_in_its_log_alone(group, monkeypatch, more):
    shown, show = [], side_by_side.show

    def failing(prepared, row):
        shown.append(prepared)
        if len(shown) == 2:
            raise RuntimeError("no picture")
        show(prepared, row)
    monkeypatch.setattr(side_by_side, "show", failing)
    group(*OWN, shared=more)
    said = [Path(f"group/{number}.txt").read_text().splitlines()[-1] for number in range(4)]
    assert [line == "error: RuntimeError: no picture" for line in said] == [False, True, False, False]
    assert len(shown) == 4 and ("Traceback" in Path("group/1.txt").read_text()) == bool(more)


def test_a_device_holds_the_features_once(group, monkeypatch):
    found, prepare = [], side_by_side.prepare
    monkeypatch.setattr(side_by_side, "prepare", lambda *more: found.append(prepare(*more)) or found[-1])
    group(*OWN[:2])
    one, other = ({part: batches.features.data_ptr() for part, batches in each.task.batches.items()} for each in found)
    assert one == other and one["train"] == one["val"] != one["test"]


@pytest.mark.parametrize("minutes", [10, 1e-9])
def test_one_that_diverges_leaves_and_the_others_go_on(group, minutes):
    """Whether that is noticed at the end of an epoch or at a checkpoint inside it."""
    commands = group(OWN[0], ["--optimizer", "sgd", "--lr", "1e30", "--warmup-epochs", "0"], OWN[1],
                     shared=["--checkpoint-minutes", str(minutes)])
    said = Path("group/1.txt").read_text().splitlines()[-1]
    assert said.startswith("error: ") and "is not finite any more in epoch 1" in said
    diverged, = Path("group").glob("res/*lr1e+30*.csv")
    row, = rows_of(diverged)
    assert row["train_loss"] == "nan"
    for last in Path("group").glob("checkpoint/*/*lr1e+30*/last.pth"):  # of a step before
        assert minutes < 1 and all(value.isfinite().all() for value in checkpoint.read(last)["model"].values())
        last.unlink()
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
