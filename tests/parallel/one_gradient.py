"""What all_methods.py has several processes do first: gradients of one batch, in float64."""

import contextlib
from argparse import Namespace

import torch
from torch import nn

from parallel import distributed
from parallel.gradients import backward
from self_supervised_pretrained.registry import PRETRAININGS

COUNT, PIECE, CPU = 11, 4, torch.device("cpu")


def network(norm):
    """A small one, always with the same weights."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.Flatten(), nn.Linear(288, 7), nn.BatchNorm1d(7),
              nn.Tanh(), nn.Linear(7, 5)]
    return nn.Sequential(*(layer for layer in layers if norm or "BatchNorm" not in type(layer).__name__)).double()


def gradient(objective, images, labels, norm, piece_size):
    """Loss, and gradients of a batch that is cut into pieces and dealt to all processes."""
    module = network(norm)
    share = distributed.share_of(COUNT, piece_size, distributed.world(), distributed.rank())
    own = torch.cat([view[share.rows] for view in images.split(COUNT)])
    loss, _ = backward(distributed.parallel(module, CPU), own, labels, objective, share, contextlib.nullcontext)
    return [loss, *(parameter.grad for parameter in module.parameters())]


def reference(objective, images, labels):
    """The same by one graph over all pieces, each of which batch norm sees by itself."""
    module, views = network(True), images.split(COUNT)
    pieces = distributed.share_of(COUNT, PIECE, 1, 0).pieces
    outputs = [module(torch.cat([view[piece.in_batch] for view in views])) for piece in pieces]
    outputs = torch.cat([part.unflatten(0, (len(views), -1)) for part in outputs], 1).flatten(0, 1)
    loss, _ = objective.measure(outputs, labels)
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in module.parameters())]


def gradients(objective):
    """Of each way to compute them."""
    torch.manual_seed(1)
    images = torch.randn(objective.views * COUNT, 3, 8, 8, dtype=torch.float64)
    labels = torch.randint(5, (COUNT,))
    return {"whole": gradient(objective, images, labels, False, COUNT),
            "pieces": gradient(objective, images, labels, False, PIECE),
            "norm": gradient(objective, images, labels, True, COUNT),
            "norm pieces": gradient(objective, images, labels, True, PIECE),
            "norm reference": reference(objective, images, labels)}


def main(path):
    distributed.join(CPU)
    args = Namespace(temperature=0.5)
    found = {name: gradients(row.load().objective(args)) for name, row in PRETRAININGS.items()}
    if distributed.rank() == 0:
        torch.save(found, path)
