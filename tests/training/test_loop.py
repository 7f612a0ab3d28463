"""Runs that are cut off, go on, diverge, or meet another one."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import pretrain
import train
from data.dataloader import FeatureBatches
from functions import MODEL_TYPES, Diverged, Progress, check_finite, check_scores, train_one_epoch
from records import checkpoint
from supervised_pretrained.pretraining import classification
from tests.common import ROOT, cut_off, equal, outcome, rows_of, run
from training import loop
from training.optimizers import build_optimizer

pytestmark = pytest.mark.usefixtures("narrow")
PRETRAIN = ["--epochs", "2", "--sample-ratio", "1", "--batch-size", "5", "--image-size", "32", "--stem",
            "7x7", "--knn-every", "2", "--warmup-epochs", "0.5"]
TRAIN = ["--epochs", "2", "--batch-size", "7", "--lr", "0.01", "--val-ratio", "0.2", "--eval-every", "1"]


class Killed(BaseException):
    """Stands for the process ending where it is raised."""


CASES = {
    "SimCLR, Adam": (pretrain, ["--model_type", "SelfSupervisedPretraining", *PRETRAIN]),
    "SimCLR, LARS": (pretrain, ["--model_type", "SelfSupervisedPretraining", "--optimizer", "lars",
                                *PRETRAIN]),
    "labels, SGD": (pretrain, ["--model_type", "SupervisedPretraining", "--optimizer", "sgd", *PRETRAIN]),
    "scratch, SGD": (train, ["--model-type", "Supervised", *TRAIN]),
    "scratch, Adam": (train, ["--model-type", "Supervised", "--optimizer", "adam", *TRAIN]),
    "self-supervised linear, Adam": (train, ["--model-type", "SelfSupervisedPretrained", "--optimizer", "adam",
                                             "--feature-views", "2", *TRAIN]),
    "self-supervised finetune, LARS": (train, ["--model-type", "SelfSupervisedPretrainedFinetune", "--optimizer",
                                               "lars", *TRAIN]),
    "self-supervised linear, class weights": (train, ["--model-type", "SelfSupervisedPretrained", "--class-weights",
                                                      "balanced", *TRAIN]),
    "supervised linear, SGD": (train, ["--model-type", "SupervisedPretrained", *TRAIN]),
    "supervised finetune, Adam": (train, ["--model-type", "SupervisedPretrainedFinetune", "--optimizer", "adam",
                                          *TRAIN]),
}


def weights_for(program, arguments, root):
    """Options that name a pre-training's checkpoint, made here, where a method starts from one."""
    kind = MODEL_TYPES.get(arguments[1])
    if program is pretrain or not kind.pretraining:
        return []
    assert run(pretrain, root, "--model_type", kind.pretraining, *PRETRAIN, "--epochs", "1") == 0
    path, = root.glob(f"out/checkpoint/{kind.pretraining}/*/last.pth")
    return ["--pretrained-model-path", str(path)]


@pytest.mark.parametrize("case", CASES)
def test_cut_off_inside_two_epochs_and_gone_on_is_bit_equal(image_folder, monkeypatch, capsys, case):
    """Checkpoints after every step; the process ends after step 2, goes on, and after step 6: as if nothing was."""
    program, arguments = CASES[case]
    whole, weights = image_folder / "whole", image_folder / "weights"
    for folder in (whole, weights):
        folder.mkdir()
        (folder / "data").symlink_to(image_folder / "data")
    arguments = [*arguments, *weights_for(program, arguments, weights)]
    assert run(program, whole, *arguments) == 0

    obey = loop.Run._obey
    for steps, more in ((2, []), (4, ["--resume", "--workers", "2"])):
        left = iter(range(steps, 0, -1))

        def kill(self, progress, epoch, left=left):
            obey(self, progress, epoch)
            if next(left) == 1:
                raise Killed

        monkeypatch.setattr(loop.Run, "_obey", kill)
        with pytest.raises(Killed):
            run(program, image_folder, *arguments, "--checkpoint-minutes", "1e-9", *more)
    monkeypatch.setattr(loop.Run, "_obey", obey)
    assert len(outcome(image_folder)[1]) == 1
    assert run(program, image_folder, *arguments, "--resume") == 0
    (state, rows), (wanted, wanted_rows) = outcome(image_folder), outcome(whole)
    assert equal(state["model"], wanted["model"]) and equal(state["optimizer"], wanted["optimizer"])
    assert rows == wanted_rows and [row["epoch"] for row in rows] == ["1", "2"]
    if program is pretrain:
        assert capsys.readouterr().out.count("before training: ") == 2, "of the two that began anew"


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143),
                                            pytest.param(signal.SIGINT, 130, marks=pytest.mark.soak)])
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(image_folder, number, status):
    arguments = [*CASES["SimCLR, Adam"][1], "--epochs", "500", "--data-dir", str(image_folder / "data"),
                 "--output-dir", str(image_folder / "out"), "--knn-every", "0"]
    process = subprocess.Popen([sys.executable, str(ROOT / "tests" / "narrow.py"), "pretrain.py", *arguments],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert re.search(r"stopped by SIG\w+ .* in epoch (\d+); go on with: python .*pretrain.py .*--resume", error)
    state, rows = outcome(image_folder)
    assert len(rows) == state["epoch"] >= 1 and "Traceback" not in error


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_after_the_step_and_the_rest_is_as_without(image_folder, monkeypatch, capsys, number, status):
    program, arguments = CASES["scratch, SGD"]
    assert run(program, image_folder, *arguments) == 0
    wanted, wanted_rows = outcome(image_folder)
    shutil.rmtree(image_folder / "out")
    with monkeypatch.context() as patch:
        send_after_step(3, number, patch)
        assert run(program, image_folder, *arguments) == status
    state, rows = outcome(image_folder)
    assert (state["epoch"], state["progress"]["step"]) == (0, 3) and rows == []
    before = state["progress"]["seconds"]
    said = f"stopped by {signal.Signals(number).name} after a checkpoint in epoch 1; go on with:"
    assert said in capsys.readouterr().err
    assert run(program, image_folder, *arguments, "--resume") == 0
    state, rows = outcome(image_folder)
    assert equal(state["model"], wanted["model"]) and rows == wanted_rows
    taken = float(rows_of(next(image_folder.glob("out/res/*.csv")))[0]["seconds"])
    assert taken > before > 0, "an epoch's time is that of both parts"


def send_after_step(number_of_step, number, monkeypatch):
    """Send this process a signal after a step of training."""
    step = iter(range(1, 1000))

    def train_and_ask(*args, after_step, **kwargs):
        def after(progress):
            if next(step) == number_of_step:
                os.kill(os.getpid(), number)
                time.sleep(0.01)
            after_step(progress)
        return train_one_epoch(*args, after_step=after, **kwargs)

    monkeypatch.setattr("training.loop.train_one_epoch", train_and_ask)


def test_sigusr1_writes_a_checkpoint_and_goes_on(image_folder, monkeypatch):
    saved, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda path, state: (saved.append(state), save(path, state)))
    send_after_step(2, signal.SIGUSR1, monkeypatch)
    program, arguments = CASES["SimCLR, Adam"]
    assert run(program, image_folder, *arguments) == 0
    assert [(state["epoch"], state["progress"].get("step")) for state in saved] == [(0, 2), (2, None)]


def test_divergence_is_marked_and_leaves_the_checkpoint(image_folder, monkeypatch, capsys):
    arguments = ["--model-type", "Supervised", *TRAIN]
    cut_off(monkeypatch, 1, train, image_folder, *arguments)
    before, _ = outcome(image_folder)
    poison = {**before, "model": {k: v * float("nan") if k == "fc.weight" else v
                                  for k, v in before["model"].items()}}
    last, = image_folder.glob("out/checkpoint/*/*/last.pth")
    checkpoint.save(last, {k: v for k, v in poison.items() if k != "version"})
    written = last.read_bytes()
    capsys.readouterr()
    assert run(train, image_folder, *arguments, "--resume") == 3
    error = capsys.readouterr().err
    assert "epoch 2, step 1, at a learning rate of" in error and len(error.strip().splitlines()) == 1
    assert last.read_bytes() == written
    log, = image_folder.glob("out/res/*.csv")
    rows = list(csv.DictReader(open(log, newline="")))
    assert [row["train_loss"] for row in rows][1] == "nan" and rows[1]["test_accuracy"] == ""
    assert run(train, image_folder, *arguments) == 1
    assert "diverged; another --lr makes another run, --overwrite makes this one anew" in capsys.readouterr().err


def test_weights_that_only_the_evaluation_sees_diverge(image_folder, capsys):
    """The loss of the only step was finite, what it left is not: no checkpoint says so, the CSV does."""
    arguments = ["--model-type", "Supervised", *TRAIN, "--epochs", "1", "--batch-size", "32", "--warmup-epochs", "0"]
    assert run(train, image_folder, *arguments, "--optimizer", "adam", "--lr", "1e30") == 3
    error = capsys.readouterr().err
    assert "is not finite any more in epoch 1, step 1, at a learning rate of 1e+30" in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not list(image_folder.glob("out/checkpoint/*/*/*.pth"))
    log, = image_folder.glob("out/res/*.csv")
    row, = csv.DictReader(open(log, newline=""))
    assert row["train_loss"] == "nan" and row["test_accuracy"] == ""


@pytest.mark.parametrize("damage", [lambda module: module.weight.data.fill_(float("nan")),
                                    lambda module: module.weight.data[:1].fill_(float("inf")),
                                    lambda module: module.running_var[:1].fill_(float("inf"))])
def test_a_weight_or_statistic_that_is_not_finite_is_found(damage):
    module, progress = torch.nn.BatchNorm1d(3), Progress(step=4, loss=1.0, seen=8)
    check_finite(module, progress, 2, lambda step: 0.5)
    damage(module)
    with pytest.raises(Diverged, match="a weight is not finite any more in epoch 2, step 4, at a learning rate of 0.5"):
        check_finite(module, progress, 2, lambda step: 0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_evaluation_that_is_not_finite_is_found(value):
    check_scores({"knn_accuracy": "", "val_loss": 0.5}, 4, 2, lambda step: 0.5)
    with pytest.raises(Diverged, match="the val loss is not finite any more in epoch 2, step 4"):
        check_scores({"val_loss": value}, 4, 2, lambda step: 0.5)


@pytest.mark.parametrize("name, lr", [("sgd", 0.1), ("adam", 0.05), ("lars", 20.0)])
def test_fp16_learns_after_steps_that_the_scaler_skips(name, lr):
    """A scale that overflows at first is no divergence, and leaves nothing behind."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 4
    features = torch.eye(4).repeat(16, 2)[None] + 0.1 * torch.randn(1, 64, 8)
    batches, network = FeatureBatches(features, labels, 8, "cpu"), torch.nn.Linear(8, 4)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer, scaler = build_optimizer(name, network, lr, 1e-4), torch.amp.GradScaler("cpu", init_scale=2.0 ** 20)
    objective, moved, losses = classification(torch.nn.CrossEntropyLoss()), [], []

    def after_step(progress):
        moved.append(not all(map(torch.equal, before, network.parameters())))

    for epoch in range(1, 16):
        result = train_one_epoch(network, batches, objective, optimizer, lambda step: lr, view=None, seed=0,
                                 epoch=epoch, amp="fp16", scaler=scaler, after_step=after_step)
        losses.append(result["loss"])
    assert not moved[0] and not moved[1] and moved[-1]  # two steps were skipped at least
    assert losses[-1] < losses[0] / 2 and result["accuracy"] == 1
    assert max(float(p.detach().abs().max()) for p in network.parameters()) < 100


def test_two_runs_in_one_folder(image_folder, capsys):
    arguments = ["--model-type", "Supervised", *TRAIN]
    assert run(train, image_folder, *arguments) == 0
    folder, = image_folder.glob("out/checkpoint/*/*")
    assert (folder / "lock").is_file()  # left behind by a dead process, and not in the way
    holder = subprocess.Popen(["flock", str(folder / "lock"), "sleep", "60"])
    time.sleep(0.5)
    try:
        assert run(train, image_folder, *arguments) == 1
        assert "another process works on this run" in capsys.readouterr().err
    finally:
        holder.kill()
        holder.wait()


def test_a_csv_that_lost_rows(image_folder, monkeypatch, capsys):
    arguments = ["--model-type", "Supervised", *TRAIN]
    arguments += ["--epochs", "3"]
    cut_off(monkeypatch, 2, train, image_folder, *arguments)
    log, = image_folder.glob("out/res/*.csv")
    log.write_text(log.read_text().splitlines()[0] + "\n")
    assert run(train, image_folder, *arguments, "--resume") == 1
    assert "does not hold the epochs 1 to 1" in capsys.readouterr().err


def test_a_row_that_was_not_written_comes_from_the_checkpoint(image_folder):
    """The process ended between the checkpoint and the CSV."""
    arguments = ["--model-type", "Supervised", *TRAIN]
    assert run(train, image_folder, *arguments) == 0
    log, = image_folder.glob("out/res/*.csv")
    text = log.read_text()
    log.write_text("".join(text.splitlines(True)[:-1]))
    assert run(train, image_folder, *arguments, "--resume") == 0
    assert log.read_text() == text


def test_a_linear_classifier_goes_on_with_its_own_backbone_only(image_folder, monkeypatch, capsys):
    """A pre-training made since is the newest, and its features are not those that the run had."""
    def pretrained(seed):
        assert run(pretrain, image_folder, *PRETRAIN, "--epochs", "1", "--seed", str(seed)) == 0

    pretrained(0)
    arguments = ["--model-type", "SelfSupervisedPretrained", *TRAIN]
    cut_off(monkeypatch, 1, train, image_folder, *arguments)
    config, = image_folder.glob("out/checkpoint/SelfSupervisedPretrained/*/config.yml")
    path = yaml.safe_load(config.read_text())["flags"]["pretrained_model_path"]
    pretrained(1)
    capsys.readouterr()
    assert run(train, image_folder, *arguments, "--resume") == 1
    assert "began with other weights" in capsys.readouterr().err
    assert run(train, image_folder, *arguments, "--resume", "--pretrained-model-path", path) == 0


def test_curves_of_a_second_run_replace_the_first(image_folder, monkeypatch):
    arguments = ["--model-type", "Supervised", *TRAIN]
    arguments += ["--epochs", "3"]
    assert run(train, image_folder, *arguments) == 0
    cut_off(monkeypatch, 2, train, image_folder, *arguments, "--overwrite")
    assert run(train, image_folder, *arguments, "--resume") == 0
    folder, = image_folder.glob("out/runs/Supervised/*")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("test_accuracy")] == [1, 2, 3]
