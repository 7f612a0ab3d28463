import warnings

import numpy as np
import pytest
import sklearn.metrics
import sklearn.utils
import torch

from data.dataloader import Batches
from data.datasets import DATASETS
from functions import (MODEL_TYPES, balanced_weights, build_model, metrics, predict, ranks,
                       training_criterion)
from records import checkpoint
from supervised.resnet import resnet
from supervised_pretrained.start import read_weights


def plain(images, random):
    return images.permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    return Batches(images, rng.integers(0, 3, 11), 4, "cpu")


def test_evaluation_is_exact_with_a_partial_last_batch(batches):
    model = resnet("resnet18", 3, "3x3").eval()
    logits, labels = predict(model, batches, plain)
    with torch.no_grad():
        whole = model(plain(torch.from_numpy(batches.images), None))
    assert torch.allclose(logits, whole, atol=1e-5) and torch.equal(labels, batches.labels)
    result = metrics(logits, labels, torch.nn.CrossEntropyLoss())
    assert result["accuracy"] == float((whole.argmax(1) == labels).double().mean())
    assert result["loss"] == pytest.approx(float(torch.nn.CrossEntropyLoss()(whole, labels)), abs=1e-5)
    assert result["top5_accuracy"] == 1


def test_top_5_of_seven_classes():
    """The label comes in place 1, 2, ... 7 of the logits: five of seven are among the first five, one is the first."""
    logits = torch.stack([torch.tensor([7.0, 6, 5, 4, 3, 2, 1]).roll(k) for k in range(7)])
    found = metrics(logits, torch.full((7,), 6), torch.nn.CrossEntropyLoss())
    assert found["top5_accuracy"] == pytest.approx(5 / 7) and found["accuracy"] == pytest.approx(1 / 7)


def test_of_equal_logits_the_first_class_comes_first():
    """As in argmax; rounded logits have many that are equal."""
    logits = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (50, 9))).float()
    labels = torch.arange(50) % 9
    order = logits.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(ranks(logits, labels), (order == labels[:, None]).int().argmax(1))
    assert torch.equal(ranks(logits, labels) == 0, logits.argmax(1) == labels)
    assert ranks(torch.full((1, 9), float("nan")), labels[:1]) == 9


@pytest.mark.parametrize("counts", [(5, 5, 5), (1, 2, 40), (9, 0, 3), (0, 0, 7)])
def test_means_over_classes_are_those_of_scikit_learn(counts):
    """Of classes as frequent, of rare ones, and of some without images, which images are taken for."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.repeat(np.arange(3), counts))
    logits = torch.from_numpy(rng.normal(size=(len(labels), 3))) + torch.nn.functional.one_hot(labels, 3)
    found = metrics(logits, labels, torch.nn.CrossEntropyLoss())
    truth, taken = labels.numpy(), logits.argmax(1).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without images
        assert found["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(truth, taken))
    assert found["macro_f1"] == pytest.approx(
        sklearn.metrics.f1_score(truth, taken, average="macro", labels=np.unique(truth)))
    assert (found["balanced_accuracy"] == pytest.approx(found["accuracy"])) == (len({*counts} - {0}) == 1)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat(np.arange(4), (1, 6, 0, 13))
    found = balanced_weights(labels, 5)
    wanted = sklearn.utils.compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    assert found[[0, 1, 3]].numpy() == pytest.approx(wanted) and found[[2, 4]].tolist() == [0, 0]
    assert found[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("name, smoothing", [
    ("CrossEntropyLoss", 0.0), ("CrossEntropyLoss", 0.1), ("MultiMarginLoss", 0.0)])
def test_weighted_losses_of_parts_add_up(name, smoothing):
    """To that of the whole, as batches in pieces need it, and each image's is that of its class alone, weighted."""
    logits, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    weighted, plain = training_criterion(name, smoothing, weights), training_criterion(name, smoothing)
    parts = [weighted(logits[part], labels[part]) * len(labels[part]) for part in (slice(0, 2), slice(2, 9))]
    assert float(sum(parts)) / 9 == pytest.approx(float(weighted(logits, labels)))
    if not smoothing:
        each = sum(float(plain(logits[k:k + 1], labels[k:k + 1]) * weights[labels[k]]) for k in range(9))
        assert float(weighted(logits, labels)) == pytest.approx(each / 9)
    weighted = training_criterion(name, smoothing, torch.ones(4))
    assert float(weighted(logits, labels)) == pytest.approx(float(plain(logits, labels)))


def test_a_pickle_does_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")
    torch.save({"model": Attack()}, tmp_path / "attack.pth")
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        checkpoint.read(tmp_path / "attack.pth")
    assert not (tmp_path / "executed").exists()


def test_imagenet_weights_through_the_package(tmp_path, monkeypatch):
    import hashlib

    import pretrainedmodels
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    model = resnet("resnet18", 1000, "7x7")
    # as the official file was saved in 2017: before zip files, without num_batches_tracked
    old = {name: value for name, value in model.state_dict().items() if "num_batches_tracked" not in name}
    torch.save(old, folder / "made.pth", _use_new_zipfile_serialization=False)
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    name = f"resnet18-{digest}.pth"
    (folder / "made.pth").rename(folder / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    preset = pretrainedmodels.pretrained_settings["resnet18"]["imagenet"]
    monkeypatch.setitem(preset, "url", f"https://example.invalid/{name}")
    kind = MODEL_TYPES["SupervisedPretrained"]
    backbone = build_model(kind, "resnet18", 5, DATASETS["cifar100"])
    assert torch.equal(backbone.model.conv1.weight, model.conv1.weight) and backbone.image_size == 224
    (folder / name).write_bytes((folder / name).read_bytes() + b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        read_weights(kind, "resnet18", DATASETS["cifar100"])
