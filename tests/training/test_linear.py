"""Linear classifiers: standardised features that the saved network does not need, and the minima that lbfgs finds."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import test as test_program
import train
from data.dataloader import FeatureBatches
from functions import MODEL_TYPES, balanced_weights, training_criterion
from records import checkpoint
from supervised_pretrained.pretraining import classification
from tests.checkpoints import make_checkpoint
from tests.common import equal, outcome, rows_of, run
from training import penalties
from training.linear import ScaledLinear, statistics

FROZEN = [name for name, kind in MODEL_TYPES.items() if kind.frozen]
SHORT = ["--epochs", "3", "--val-ratio", "0.2", "--amp", "off"]
ALL = ["--eval-every", "1"]


def features_of(views=1, count=120, width=9, classes=4):
    """Features (V, N, D) of very different lengths and means, one of them constant; labels that they tell in part."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=count) * (rng.random(count) < 0.9)
    centres = rng.normal(size=(classes, width))
    found = centres[labels] + 1.5 * rng.normal(size=(views, count, width))
    found = found * np.logspace(-2, 2, width) + np.logspace(2, -2, width)
    found[..., 3] = 0.1
    return found.astype(np.float32), labels


@pytest.mark.parametrize("views", [1, 2])
def test_statistics_are_those_of_scikit_learn(monkeypatch, views):
    monkeypatch.setattr("training.linear.TOGETHER", 7)
    features, _ = features_of(views)
    rows = np.arange(5, 110)
    mean, std = statistics(features, rows)
    scaler = StandardScaler().fit(features[:, rows].reshape(-1, features.shape[2]).astype(np.float64))
    assert mean == pytest.approx(scaler.mean_) and std == pytest.approx(scaler.scale_) and std[3] == 1


def test_a_folded_classifier_gives_the_same_outputs():
    features, _ = features_of()
    classifier, fc = ScaledLinear(torch.nn.Linear(9, 4), *statistics(features, np.arange(120))), torch.nn.Linear(9, 4)
    classifier.fold_into(fc)
    found, dull = torch.from_numpy(features[0]), 3
    assert torch.allclose(fc(found), classifier(found), atol=2e-3)  # means of thousands of deviations are among them
    scaled = classifier.scaled(found)
    assert scaled.mean(0).abs().max() < 1e-2 and scaled[:, :dull].std(0).allclose(torch.ones(dull), atol=0.01)
    assert scaled[:, dull].abs().max() < 1e-6


@pytest.mark.parametrize("views, balanced", [(1, False), (1, True), (2, False)])
def test_the_minima_are_those_of_scikit_learn(monkeypatch, views, balanced):
    monkeypatch.setattr(penalties, "GRADIENT", 1e-7)
    features, labels = features_of(views)
    rows = np.arange(10, 120)
    batches = FeatureBatches(features, labels, len(rows), "cpu", rows)
    scaled = StandardScaler().fit_transform(features[:, rows].reshape(-1, 9).astype(np.float64))
    scaled[:, 3] = 0  # which scikit-learn leaves as rounding made it
    again = np.tile(labels[rows], views)
    weights = balanced_weights(labels[rows], 4) if balanced else None
    objective = classification(training_criterion("CrossEntropyLoss", weights=weights))
    classifier = ScaledLinear(torch.nn.Linear(9, 4).double(), *statistics(features, rows))
    path = penalties.PenaltyPath(classifier, batches, objective, 4)
    for epoch in range(1, 5):
        found = path(epoch)
        wanted = LogisticRegression(C=1 / (found["penalty"] * len(again)), tol=1e-9, max_iter=10 ** 5,
                                    class_weight="balanced" if balanced else None).fit(scaled, again)
        np.testing.assert_allclose(classifier.fc.weight.detach(), wanted.coef_, rtol=1e-3, atol=3e-3)
        bias = classifier.fc.bias.detach().numpy()
        np.testing.assert_allclose(bias - bias.mean(), wanted.intercept_ - wanted.intercept_.mean(), rtol=1e-3,
                                   atol=2e-3)
        assert found["accuracy"] == pytest.approx(wanted.score(scaled, again))
    assert [f"{penalty:g}" for penalty in penalties.penalties(6)] == [
        "1", "0.1", "0.01", "0.001", "0.0001", "1e-05"]


def test_where_it_ends_the_objective_is_at_its_minimum(monkeypatch):
    """To 1e-4 nats, from any start."""
    features, labels = features_of()
    rows, found = np.arange(120), []
    for gradient, seed in ((penalties.GRADIENT, 0), (penalties.GRADIENT, 1), (1e-8, 0)):
        monkeypatch.setattr(penalties, "GRADIENT", gradient)
        torch.manual_seed(seed)
        classifier = ScaledLinear(torch.nn.Linear(9, 4), *statistics(features, rows))
        path = penalties.PenaltyPath(classifier, FeatureBatches(features, labels, 120, "cpu", rows),
                              classification(training_criterion("CrossEntropyLoss")), 4)
        rest = [(path(epoch), classifier.fc.weight.detach().double().square().sum()) for epoch in range(1, 5)]
        found.append([row["loss"] + row["penalty"] / 2 * float(square) for row, square in rest])
    assert found[0] == pytest.approx(found[2], abs=1e-4) and found[1] == pytest.approx(found[2], abs=1e-4)


@pytest.fixture
def linear(image_folder, narrow):
    """A function that trains a linear classifier on a network of 8 channels, and the options of its method."""
    path = make_checkpoint(image_folder, "abcd", stem="7x7", image_size=32)
    state = checkpoint.read(path)
    del state["trained_as"]
    torch.save(state["model"], image_folder / "weights.pth")
    options = ["--pretrained-model-path", str(image_folder / "weights.pth"), *SHORT]

    def start(*more, program=train, model_type="SelfSupervisedPretrained", **places):
        return run(program, image_folder, "--model-type", model_type, *options, *more, **places)
    return image_folder, start


@pytest.mark.parametrize("more", [["--batch-size", "7", "--lr", "0.01", *ALL], ["--optimizer", "lbfgs"],
                                  ["--optimizer", "lbfgs", "--feature-views", "2"],
                                  ["--optimizer", "lbfgs", "--feature-scaling", "none"]], ids=" ".join)
@pytest.mark.parametrize("model_type", FROZEN[:1])
def test_the_saved_network_is_a_plain_one_and_as_accurate(linear, capsys, model_type, more):
    root, start = linear
    assert start(*more, model_type=model_type) == 0
    state, rows = outcome(root)
    best = max(reversed(rows), key=lambda row: float(row["val_accuracy"]))
    assert {name for name in state["model"] if name.startswith("fc")} == {"fc.weight", "fc.bias"}
    capsys.readouterr()
    assert run(test_program, root, "--model-type", model_type) == 0
    said = capsys.readouterr().out
    assert f"test accuracy {best['test_accuracy']}," in said
    assert f"balanced accuracy {best['test_balanced_accuracy']}, macro F1 {best['test_macro_f1']}\n" in said


def test_a_path_of_penalties_is_a_run_like_others(linear, monkeypatch, capsys):
    """A row a penalty; cut off after one of them it goes on to the same, bit for bit."""
    root, start = linear
    lbfgs = ["--optimizer", "lbfgs"]
    assert start(*lbfgs, output="whole") == 0
    assert "cifar100" in capsys.readouterr().out
    log, = (root / "whole" / "res").glob("*.csv")
    rows = rows_of(log, timed=False)
    assert [float(row["penalty"]) for row in rows] == penalties.penalties(3)
    assert {row["learning_rate"] for row in rows} == {""}
    losses = [float(row["train_loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True) and len(rows) == 3
    with monkeypatch.context() as patch:
        patch.setattr("training.loop.Run._asked", lambda self: 15 if self.epoch >= 1 else None)
        assert start(*lbfgs) == 128 + 15
    assert start(*lbfgs) == 1 and "go on with" in capsys.readouterr().err
    assert start(*lbfgs, "--resume") == 0
    state, found = outcome(root)
    whole, = root.glob("whole/checkpoint/*/*/last.pth")
    assert found == rows and equal(state["model"], checkpoint.read(whole)["model"])


def test_features_are_standardised_unless_a_flag_says_otherwise(linear):
    root, start = linear
    found = {}
    for scaling in ("standard", "none"):
        assert start("--batch-size", "7", "--lr", "0.01", "--feature-scaling", scaling, output=scaling) == 0
        last, = (root / scaling).glob("checkpoint/SelfSupervisedPretrained/*/last.pth")
        found[scaling] = checkpoint.read(last)
    features = [np.load(path) for path in root.glob("*/checkpoint/features/*.npy")]
    classifier = found["standard"]["classifier"]
    assert any(len(rows) == 40 and np.allclose(rows.mean(0), classifier["mean"], rtol=0.5) for rows in features)
    assert not classifier["std"].eq(1).all() and found["none"]["classifier"]["std"].eq(1).all()
    assert not torch.equal(found["standard"]["model"]["fc.weight"], classifier["fc.weight"])
    assert torch.equal(found["none"]["model"]["fc.weight"], found["none"]["classifier"]["fc.weight"])


@pytest.mark.parametrize("words, said", [
    ("--model-type Supervised",
     "--optimizer lbfgs solves linear classifiers alone, not Supervised; these methods have one: "
     + ", ".join(FROZEN)),
    ("--model-type SelfSupervisedPretrained --criterion MultiMarginLoss",
     "--optimizer lbfgs is for CrossEntropyLoss, not MultiMarginLoss"),
    ("--model-type SelfSupervisedPretrained --epochs 1",
     "--epochs 1: with --optimizer lbfgs it is the number of penalties"),
    ("--model-type Untrained --val-ratio 0", "--val-ratio 0: with --optimizer lbfgs validation chooses")])
def test_where_there_is_nothing_to_solve(tmp_path, capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        run(train, tmp_path, *words.split(), "--optimizer", "lbfgs")
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith(f"error: {said}") and error.count("\n") == 1
