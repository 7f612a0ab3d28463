"""The gradients of the loss of a whole batch, in one piece or piece by piece."""

import contextlib
from typing import Callable, NamedTuple, Optional

import torch
from torch import nn


class Objective(NamedTuple):
    """measure: (outputs, labels of the whole batch) -> (mean loss, number correct), tensors of
    no dimensions both.

    pairs: outputs are two views of each image (rows i and B + i), and the loss compares all of a
    batch with each other; else they are one of each image, and the loss is a mean over images.
    each: the same, but of every image: -> (losses, whether correct), both of shape (B,); where it is
    needed.
    """

    measure: Callable
    pairs: bool = False
    each: Optional[Callable] = None

    @property
    def views(self):
        return 2 if self.pairs else 1


def backward(network, inputs, labels, objective, share, autocast, scale=lambda loss: loss):
    """Add the gradients of a batch's mean loss to the network's parameters.

    A loss that is a mean over images is back-propagated piece by piece. One that compares all of a
    batch needs all outputs first: they are computed piece by piece without gradients, then their
    gradients, then with these each piece once more (Gao et al. 2021, "Scaling deep contrastive
    learning batch size under memory limited setup"). Either way the gradients are those of the
    whole batch, in which batch norm normalises each piece by itself.

    Args:
        inputs: what this process has of the batch: (views * b, ...). labels: int64 (B,), of the
            whole batch. objective: Objective. share: distributed.Share.
        autocast: () -> context of forward passes. scale: loss -> loss to differentiate.
    Returns: (mean loss, number correct), tensors without gradients.
    """
    def outputs_of(piece):
        with autocast():
            outputs = network(_cut(inputs, share, piece, objective.views))
        count = len(outputs) // objective.views
        return piece.gather(outputs.view(objective.views, count, outputs.shape[1]))

    last = share.pieces[-1]
    if objective.pairs and len(share.pieces) > 1:
        with torch.no_grad(), _untracked(network):
            outputs = torch.cat([outputs_of(piece) for piece in share.pieces], 1)
        outputs.requires_grad_()
        loss, correct = objective.measure(outputs.flatten(0, 1), labels)
        gradient, = torch.autograd.grad(scale(loss), outputs)
        for piece in share.pieces:
            with _sync(network, piece is last):
                outputs_of(piece).backward(gradient[:, piece.in_batch])
        return loss.detach(), correct
    total, hits = 0, 0
    for piece in share.pieces:
        with _sync(network, piece is last):
            target = labels[piece.in_batch]
            loss, correct = objective.measure(outputs_of(piece).flatten(0, 1), target)
            loss = loss * (len(target) / share.count)
            scale(loss).backward()
        total, hits = total + loss.detach(), hits + correct
    return total, hits


def _cut(inputs, share, piece, views):
    """The inputs of a piece, of each view."""
    if len(share.pieces) == 1:
        return inputs
    count = len(share.rows)
    return torch.cat([inputs[view * count:][piece.own] for view in range(views)])


def _sync(network, now):
    """Whether the processes add up their gradients in this backward pass."""
    return contextlib.nullcontext() if now or not hasattr(network, "no_sync") else network.no_sync()


@contextlib.contextmanager
def _untracked(network):
    """Batch norm keeps its running statistics: the same images are to come once more."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._NormBase)]
    try:
        for part in norms:
            part.track_running_stats = False
        yield
    finally:
        for part in norms:
            part.track_running_stats = True
