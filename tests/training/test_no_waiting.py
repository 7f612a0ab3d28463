"""A training step on a GPU never waits for it. PyTorch's device "meta", which tells no value, stands for one."""

import contextlib
from argparse import Namespace

import numpy as np
import pytest
import torch

import functions
from data import augment
from data.dataloader import Batches, FeatureBatches
from functions import Diverged, Progress, train_one_epoch
from parallel import watch
from self_supervised_pretrained.registry import PRETRAININGS
from supervised_pretrained.pretraining import classification
from training.optimizers import build_optimizer

pytestmark = pytest.mark.usefixtures("narrow")
STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


class Enough(BaseException):
    """Ends an epoch, at whose end the loss is asked for."""


def after_three(progress):
    if progress.step == 3:
        raise Enough


def three_steps(network, batches, objective, view):
    """With PyTorch's plain optimizer: ours have no form for this device; see test_optimizers.py."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with pytest.raises(Enough):
        train_one_epoch(network, batches, objective, optimizer, lambda step: 0.1, view=view, seed=0, epoch=1,
                        after_step=after_three)


def images():
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40) % 4


@pytest.mark.parametrize("piece", [None, 4])
@pytest.mark.parametrize("method", PRETRAININGS)
def test_no_pre_training_waits(method, piece, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: contextlib.nullcontext())  # "meta" has none
    method = PRETRAININGS[method].load()
    args = Namespace(arch="resnet18", out_dim=8, temperature=0.5)
    network = method.network(args, "3x3", 4).to("meta", memory_format=torch.channels_last)
    augmentation = getattr(augment, method.VIEW)

    def view(images, random, share, size):
        return augmentation(images, 32, random, share=share, **STATISTICS)

    three_steps(network, Batches(*images(), 8, "meta", piece_size=piece), method.objective(args), view)


@pytest.mark.parametrize("smoothing, weights", [(0.0, None), (0.1, torch.ones(4)), (0.0, torch.ones(4))])
def test_no_linear_classifier_waits(smoothing, weights):
    network = torch.nn.Linear(8, 4).to("meta")
    batches = FeatureBatches(torch.randn(2, 40, 8), np.arange(40) % 4, 8, "meta")
    weights = None if weights is None else weights.to("meta")
    criterion = functions.training_criterion("CrossEntropyLoss", smoothing, weights)
    three_steps(network, batches, classification(criterion), None)


@pytest.mark.parametrize("worked", [watch.WATCHED_EVERY - 1, watch.WATCHED_EVERY, 0])
def test_divergence_is_noticed_within_an_epoch(worked, monkeypatch):
    """At the second look after it at the latest, and before the epoch ends."""
    monkeypatch.setattr(functions, "answers", lambda device: False)
    batches, steps = FeatureBatches(torch.randn(1, 2000, 8), np.arange(2000) % 4, 2, "cpu"), []
    network = torch.nn.Linear(8, 4)

    def after_step(progress):
        steps.append(progress.step)
        if progress.step == worked:
            network.weight.data.fill_(float("nan"))

    if not worked:
        network.weight.data.fill_(float("nan"))
    optimizer = build_optimizer("sgd", network, 0.1, 0.0)
    with pytest.raises(Diverged, match=r"the loss is not finite any more in epoch 1, step \d+, at a learning rate"):
        train_one_epoch(network, batches, classification(torch.nn.CrossEntropyLoss()), optimizer, lambda step: 0.1,
                        view=None, seed=0, epoch=1, after_step=after_step)
    assert worked + watch.WATCHED_EVERY - 1 <= len(steps) < worked + 2 * watch.WATCHED_EVERY + 1


def test_a_look_reads_what_was_sent_at_the_one_before():
    look, found = watch.Watch().look, []
    for step in range(1, 4 * watch.WATCHED_EVERY + 1):
        total = torch.tensor(float("inf") if step >= 2 * watch.WATCHED_EVERY else 1.0)
        found.append(look(Progress(step=step, loss=total)))
    assert found.index(2 * watch.WATCHED_EVERY) == 3 * watch.WATCHED_EVERY - 1
