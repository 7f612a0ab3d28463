import numpy as np
import pytest
import torch

import checkpoint
from data.dataloader import Batches
from data.datasets import DATASETS
from functions import MODEL_TYPES, build_model, metrics, predict
from self_supervised_pretrained.network import SimCLR
from supervised.resnet import resnet


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


def foreign_checkpoints(folder):
    """Files as the original SimCLR code, torchvision and pretrainedmodels write them."""
    model = SimCLR("resnet18", 16, "7x7")
    body = {k.removeprefix("backbone."): v for k, v in model.state_dict().items() if ".fc." not in k}
    classifier = {"weight": torch.zeros(10, 512), "bias": torch.zeros(10)}
    files = {
        "simclr": {"epoch": 3, "arch": "resnet18", "state_dict": model.state_dict(), "optimizer": {}},
        "torchvision": {**body, **{f"fc.{k}": v for k, v in classifier.items()}},
        "pretrainedmodels": {**body, **{f"last_linear.{k}": v for k, v in classifier.items()}},
    }
    for name, content in files.items():
        torch.save(content, folder / f"{name}.pth")
    return body, files


@pytest.mark.parametrize("name", ["simclr", "torchvision", "pretrainedmodels"])
def test_foreign_checkpoints_load(tmp_path, name):
    body, _ = foreign_checkpoints(tmp_path)
    backbone = build_model(MODEL_TYPES["SelfSupervisedPretrainedFinetune"], "resnet18", 7, DATASETS["cifar100"],
                           tmp_path / f"{name}.pth")
    loaded = backbone.model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in body.items())
    assert loaded["fc.weight"].shape == (7, 512)


def test_every_key_is_accounted_for(tmp_path):
    body, files = foreign_checkpoints(tmp_path)
    path = tmp_path / "odd.pth"
    for wrong, message in (({**body, "extra.weight": torch.zeros(1)}, "unexpected extra.weight"),
                           ({k: v for k, v in body.items() if k != "bn1.bias"}, "missing bn1.bias")):
        torch.save(wrong, path)
        with pytest.raises(ValueError, match=message):
            build_model(MODEL_TYPES["SupervisedPretrained"], "resnet18", 7, DATASETS["cifar100"], path)


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
    body, files = foreign_checkpoints(tmp_path)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    model = resnet("resnet18", 1000, "7x7")
    torch.save(model.state_dict(), folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    name = f"resnet18-{digest}.pth"
    (folder / "made.pth").rename(folder / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    preset = pretrainedmodels.pretrained_settings["resnet18"]["imagenet"]
    monkeypatch.setitem(preset, "url", f"https://example.invalid/{name}")
    backbone = build_model(MODEL_TYPES["SupervisedPretrained"], "resnet18", 5, DATASETS["cifar100"])
    assert torch.equal(backbone.model.conv1.weight, model.conv1.weight) and backbone.image_size == 224
    (folder / name).write_bytes((folder / name).read_bytes() + b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        build_model(MODEL_TYPES["SupervisedPretrained"], "resnet18", 5, DATASETS["cifar100"])
