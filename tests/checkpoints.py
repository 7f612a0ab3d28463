"""Checkpoints as train.py and pretrain.py leave them, of networks that nobody has trained."""

import torch

from records import checkpoint
from supervised.resnet import resnet

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def make_checkpoint(folder, classes, data="folder", stem="3x3", image_size=16, model_type="Supervised", **config):
    """Save a network whose answers depend on the picture; batch norm has seen some noise. Returns: its path."""
    torch.manual_seed(0)
    model = resnet("resnet18", len(classes), stem)
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(8, 3, image_size, image_size) + 2 * torch.randn(8, 3, 1, 1))
        # no class is the answer to everything
        seen = model.eval().features(2 * torch.randn(64, 3, 1, 1).expand(-1, -1, image_size, image_size))
        model.fc.weight.mul_(4)
        model.fc.bias.copy_(-model.fc.weight @ seen.mean(0))
    path = folder / "checkpoint" / model_type / "run" / checkpoint.LAST
    checkpoint.save(path, {
        "model": model.state_dict(), "epoch": 1, "classes": list(classes),
        "trained_as": {"arch": "resnet18", "stem": stem, "mean": MEAN, "std": STD, "image_size": image_size},
        "config": {"model_type": model_type, "data": data, "arch": "resnet18", "epochs": 1, "amp": "auto", **config}})
    return path
