"""Flags that change how a run learns: each against its definition by hand."""

import math
import shutil

import pytest
import torch

import pretrain
import test as test_program
import train
from functions import train_one_epoch
from records import checkpoint
from tests.common import equal, outcome, rows_of, run
from training.optimizers import build_optimizer

pytestmark = pytest.mark.usefixtures("narrow")
SHORT = ["--epochs", "1", "--batch-size", "8", "--warmup-epochs", "0", "--scheduler", "constant", "--amp", "off"]
TRAIN = ["--model-type", "Supervised", "--lr", "0.01", *SHORT]
BOTH = [(train, ["--model-type", "Supervised"]),
        (pretrain, ["--sample-ratio", "1", "--image-size", "32", "--knn-every", "0"])]
LOGITS = torch.tensor([[2.0, -1, 0.5, 0], [0, 0, 3, 1]])
LABELS = torch.tensor([0, 3])


@pytest.fixture
def measured(monkeypatch):
    """What the objective of a run says of LOGITS and LABELS."""
    found = []

    def spy(network, batches, objective, *more, **options):
        found.append(float(objective.measure(LOGITS, LABELS)[0]))
        return train_one_epoch(network, batches, objective, *more, **options)

    monkeypatch.setattr("training.loop.train_one_epoch", spy)
    return found


def log_softmax(row):
    return [x - math.log(sum(map(math.exp, row))) for x in row]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_label_smoothing_by_hand(image_folder, measured, capsys, smoothing):
    """It gives a share of the label to all classes alike (Szegedy et al. 2016, section 7), in training alone."""
    assert run(train, image_folder, *TRAIN, "--label-smoothing", smoothing) == 0
    wanted = sum(-(1 - smoothing) * logs[label] - smoothing * sum(logs) / 4
                 for logs, label in zip(map(log_softmax, LOGITS.tolist()), LABELS.tolist())) / 2
    assert measured == [pytest.approx(wanted, rel=1e-6)]
    row, = outcome(image_folder)[1]
    capsys.readouterr()
    assert run(test_program, image_folder, "--model-type", "Supervised", "--amp", "off") == 0
    assert f"loss {float(row['test_loss']):.6f}, 12 images" in capsys.readouterr().out


def test_multi_margin_loss_by_hand(image_folder, measured):
    """The mean over classes of how far others come within 1 of the right one; and it trains."""
    linear = ["--model-type", "SelfSupervisedPretrained", "--criterion", "MultiMarginLoss", "--lr", "0.1"]
    pretraining = ["--image-size", "32", "--stem", "7x7", "--sample-ratio", "1", "--knn-every", "0", "--lr", "1e-3"]
    assert run(pretrain, image_folder, *SHORT, *pretraining) == 0
    assert run(train, image_folder, *linear, *SHORT, "--epochs", "20", "--eval-every", "1") == 0
    wanted = sum(max(0, 1 - row[label] + x) for row, label in zip(LOGITS.tolist(), LABELS.tolist())
                 for k, x in enumerate(row) if k != label) / 4 / 2
    assert measured[-1] == pytest.approx(wanted, rel=1e-6)
    log, = image_folder.glob("out/res/SelfSupervisedPretrained_*.csv")
    rows = rows_of(log)
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) / 2 and float(rows[-1]["test_accuracy"]) > 0.7
    assert 0 <= float(rows[0]["test_loss"])


@pytest.mark.parametrize("program, more", BOTH)
@pytest.mark.parametrize("scaling, wanted", [("none", 0.064), ("linear", 0.064 * 8 / 256),
                                             ("sqrt", 0.064 * math.sqrt(8 / 256))])
def test_a_rate_for_256_images_is_scaled_to_the_batch(image_folder, capsys, program, more, scaling, wanted):
    assert run(program, image_folder, *more, *SHORT, "--lr", "0.064", "--lr-scaling", scaling) == 0
    state, rows = outcome(image_folder)
    assert [float(row["learning_rate"]) for row in rows] == [pytest.approx(wanted, rel=1e-12)]
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(wanted, rel=1e-12)
    said = f"learning rate 0.064 for 256 images, {wanted:g} for 8 ({scaling} scaling)"
    assert (said in capsys.readouterr().out) == (scaling != "none")


def step_of(name, decay):
    """A layer and batch norm before and after a step with gradients of -0.25."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = [p.detach().clone() for p in module.parameters()]
    for p in module.parameters():
        p.grad = torch.full_like(p, -0.25)
    build_optimizer(name, module, 0.1, decay).step()
    return zip(before, module.parameters())


def test_weight_decay_by_hand():
    """The first step of SGD with Nesterov's momentum is 1 + 0.9 times the gradient, to which the decay belongs."""
    for old, new in step_of("sgd", 0.5):
        gradient = -0.25 + (0.5 * old if old.ndim > 1 else 0)
        torch.testing.assert_close(new.detach(), old - 0.1 * 1.9 * gradient)


def test_weight_decay_of_adam_by_hand():
    """Part of the gradient, not decoupled: the first step has the sign of their sum."""
    for old, new in step_of("adam", 2.0):
        gradient = -0.25 + (2.0 * old if old.ndim > 1 else torch.zeros_like(old))
        torch.testing.assert_close(new.detach(), old - 0.1 * gradient.sign())


@pytest.mark.parametrize("program, more", BOTH)
def test_weight_decay_reaches_weights_and_no_bias(image_folder, program, more):
    assert run(program, image_folder, *more, *SHORT, "--weight-decay", "0.125") == 0
    state, _ = outcome(image_folder)
    decayed, others = state["optimizer"]["param_groups"]
    shapes = [tensor.ndim for name, tensor in state["model"].items()
              if "running" not in name and "num_batches" not in name]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.125, 0.0)
    assert len(decayed["params"]) == sum(ndim > 1 for ndim in shapes)
    assert len(others["params"]) == sum(ndim <= 1 for ndim in shapes)


def twice(folder, *options, flag="--compile"):
    """Outcomes of a run without a flag and with it."""
    for name, more in (("plain", []), ("more", [flag])):
        (folder / name).mkdir()
        (folder / name / "data").symlink_to(folder / "data")
        assert run(train, folder / name, *TRAIN, *options, *more) == 0
    return outcome(folder / "plain"), outcome(folder / "more")


def test_compile_compiles_what_is_trained_and_saves_it_under_its_names(image_folder, monkeypatch):
    """With a compiler that wraps a network and changes nothing."""
    compiled = []

    class Compiled(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self._orig_mod = module
            self.calls = 0
            compiled.append(self)

        def forward(self, images):
            self.calls += 1
            return self._orig_mod(images)

    monkeypatch.setattr(torch, "compile", Compiled)
    (plain, rows), (state, other_rows) = twice(image_folder)
    assert len(compiled) == 1 and compiled[0].calls == 5  # 36 images, 8 a step
    assert equal(state["model"], plain["model"]) and rows == other_rows


@pytest.mark.soak
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_a_compiled_network_learns_the_same(image_folder):
    """At a rate so small that rounding, which batch norm over few images multiplies, stays rounding."""
    (plain, rows), (state, other_rows) = twice(image_folder, "--lr", "1e-5")
    assert state["model"].keys() == plain["model"].keys()
    for name in ("train_loss", "test_loss"):
        assert float(other_rows[0][name]) == pytest.approx(float(rows[0][name]), rel=1e-3)
    path, = image_folder.glob("more/out/checkpoint/*/*/last.pth")
    assert checkpoint.read(path)["config"]["compile"] is True
