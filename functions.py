"""What the programs do with a network of one of the methods: build it, train an epoch, evaluate."""

import contextlib
import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch

from conf.methods import MODEL_TYPES  # noqa: F401  as whoever builds a model expects
from data import augment
from data.dataloader import generator
from parallel.gradients import backward
from parallel.watch import Watch, answers
from records.weights import load_backbone
from supervised.resnet import resnet
from supervised_pretrained.start import read_weights

CRITERIA = {"CrossEntropyLoss": torch.nn.CrossEntropyLoss,
            "MultiMarginLoss": torch.nn.MultiMarginLoss}


def training_criterion(name, label_smoothing=0.0, weights=None, reduction="mean"):
    """What training minimises: a key of CRITERIA as a function of (logits (B, C), labels (B,)).

    Args: label_smoothing: for CrossEntropyLoss. weights: float32 (C,), the weight of each class's
        images, None for equal ones. The sum is over weighted losses and divided by the number of
        images, not by the sum of their weights, so that batches and their parts add up.
        reduction: "mean", or "none" for the loss of every image, (B,).
    """
    options = {"label_smoothing": label_smoothing} if label_smoothing else {}
    if weights is None:
        return CRITERIA[name](**options, reduction=reduction)

    def weighted(logits, labels):
        losses = CRITERIA[name](weight=weights.to(logits.dtype), **options, reduction="none")(logits, labels)
        return losses.mean() if reduction == "mean" else losses
    return weighted


def balanced_weights(labels, classes):
    """Weights by which each class counts the same: n / (K * images of the class), of n images in K
    classes, as scikit-learn's class_weight="balanced"; 0 for a class without images.

    Args: labels: int64 (n,) numpy array. classes: how many there could be. Returns: float32 (C,).
    """
    counts = np.bincount(labels, minlength=classes)
    shares = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return torch.from_numpy(np.where(counts, shares, 0).astype(np.float32))


class Backbone(NamedTuple):
    """A network with `fc`, and the input its weights expect: px a side, mean and std of RGB."""

    model: torch.nn.Module
    image_size: int
    mean: tuple
    std: tuple
    trained_as: dict

    @property
    def input(self):
        """(px a side, mean, std), as labelled_view takes them."""
        return self.image_size, self.mean, self.std


def build_model(kind, arch, classes, dataset, path=None, **options):
    """Build the network of a method: its weights loaded, a new classifier; for programs of one's own.

    Args: kind: a ModelType. classes: how many. More: as for `read_weights`. Returns: Backbone.
    """
    return with_classifier(kind, arch, classes, read_weights(kind, arch, dataset, path, **options))


def with_classifier(kind, arch, classes, weights):
    """As `build_model`, from weights that are read already. Raises: ValueError."""
    trained_as = weights.trained_as
    model = resnet(arch, classes, trained_as["stem"])
    if weights.found:
        load_backbone(model, weights.found, weights.origin)
    if kind.frozen:
        model.requires_grad_(False)
        model.fc.requires_grad_(True)
    return Backbone(model, weights.image_size, trained_as["mean"], trained_as["std"], trained_as)


def autocast(device, amp):
    """The context of a forward pass. amp: "off", "bf16" or "fp16"."""
    if amp == "off":
        return contextlib.nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[amp]
    return torch.autocast(torch.device(device).type, dtype)


@dataclass
class Progress:
    """How far an epoch is: steps done, sums over what was seen (images, or views of SimCLR), and,
    where it was cut off, the seconds that it had taken until then."""

    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0

    def plain(self):
        """dict of Python numbers, from which Progress(**dict) goes on exactly."""
        return {name: value.item() if isinstance(value, torch.Tensor) else value
                for name, value in asdict(self).items()}


class Diverged(ValueError):
    """The loss or the weights are not finite."""

    status = 3  # of a program that ends so; others may go on


def train_one_epoch(network, batches, objective, optimizer, rate, *, view, seed, epoch, size=None,
                    amp="off", scaler=None, progress=None, after_step=None):
    """Train one epoch, or the rest of one.

    Args:
        batches: as data.dataloader.Batches. objective: gradients.Objective.
        rate: step of this epoch, from 0 -> learning rate.
        view: (uint8 images (B, H, H, 3), generator or None for the plain images, distributed.Share
            or None, px a side or None for the usual) -> network input; None for batches that are
            its input.
        size: as `rate`, px a side of the views; None for the usual.
        epoch: from 1; (seed, epoch, step) decide order and augmentation.
        scaler: torch.amp.GradScaler, for fp16. progress: where to go on in the epoch; brought up
            to date with each step. after_step: called with it after each step; may raise to stop.
    Returns: dict of loss (nats), accuracy (fraction): means over all outputs.
    Raises: Diverged.
    """
    network.train()
    device, progress, watch = batches.device, progress or Progress(), Watch()
    scale = scaler.scale if scaler else lambda loss: loss
    for images, labels in batches.epoch(seed, epoch, progress.step):
        for group in optimizer.param_groups:
            group["lr"] = rate(progress.step)
        inputs, share = images, batches.share(progress.step)
        if view is not None:
            inputs = view(images, generator(seed, epoch, progress.step), share,
                          size(progress.step) if size else None)
        optimizer.zero_grad()
        loss, correct = backward(network, inputs, labels, objective, share,
                                 lambda: autocast(device, amp), scale)
        value = loss.item() if answers(device) else loss.double()
        if answers(device) and not math.isfinite(value):
            raise _diverged(progress.step + 1, epoch, rate)

        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

        outputs = objective.views * len(labels)
        progress.loss += value * outputs
        progress.correct += correct
        progress.seen += outputs
        progress.step += 1
        lost = None if answers(device) else watch.look(progress)
        if lost:
            raise _diverged(lost, epoch, rate)
        if after_step:
            after_step(progress)
    return means(network, progress, epoch, rate)


def means(network, progress, epoch, rate):
    """What train_one_epoch returns, of an epoch whose steps are done. Raises: Diverged."""
    check_finite(network, progress, epoch, rate)
    return {"loss": float(progress.loss) / progress.seen,
            "accuracy": float(progress.correct) / progress.seen}


def check_finite(network, progress, epoch, rate):
    """Raises: Diverged if a loss so far was not finite, or the weights that the last step left,
    which no loss has seen."""
    if not abs(float(progress.loss)) < float("inf"):
        raise _diverged(progress.step, epoch, rate)
    finite = [tensor.isfinite().all() for tensor in (*network.parameters(), *network.buffers())]
    if not torch.stack(finite).all():
        raise _diverged(progress.step, epoch, rate, "a weight")


def check_scores(scores, step, epoch, rate):
    """Raises: Diverged if a figure of an evaluation is not finite. Args: scores: of a CSV's row."""
    for name, value in scores.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _diverged(step, epoch, rate, f"the {name.replace('_', ' ')}")


def _diverged(step, epoch, rate, what="the loss"):
    return Diverged(f"{what} is not finite any more in epoch {epoch}, step {step}, at a learning "
                    f"rate of {rate(step - 1):g}: lower --lr; the last checkpoint is untouched")


@torch.no_grad()
def predict(network, batches, view, amp="off"):
    """Logits of every image, in order.

    Returns: (logits (N, classes) float32, labels (N,)), on the batches' device.
    """
    network.eval()
    logits, labels = [], []
    for step, (images, target) in enumerate(batches.epoch()):
        inputs = images if view is None else view(images, None)
        with autocast(batches.device, amp):
            outputs = network(inputs).float()
        piece, = batches.share(step).pieces
        logits.append(piece.gather(outputs[None])[0])
        labels.append(target)
    return torch.cat(logits), torch.cat(labels)


def ranks(logits, labels):
    """How many classes come before an image's own: int64 (N,), 0 where it is the predicted class.
    Of equal logits the first comes first, as in argmax; of one that is not a number, all do."""
    own, label = logits.gather(1, labels[:, None]), labels[:, None]
    later = torch.arange(logits.shape[1], device=logits.device) >= label
    return (~((logits < own) | (logits == own) & later)).sum(1)


def metrics(logits, labels, criterion):
    """Mean loss, top-1 and top-5 accuracy (fractions; top-all with fewer than five classes), and
    what `class_means` tells."""
    rank = ranks(logits, labels)
    return {"loss": float(criterion(logits, labels)),
            "accuracy": float((rank == 0).double().mean()),
            "top5_accuracy": float((rank < 5).double().mean()),
            **class_means(confusion_matrix(logits.argmax(1), labels, logits.shape[1]))}


def class_means(matrix):
    """Means in which each class counts the same, however many images it has: scikit-learn's
    balanced_accuracy_score (mean recall) and f1_score(average="macro"), as fractions.

    Classes without images are left out of both. scikit-learn would count those among them that an
    image was taken for into the mean F1, as 0, unless `labels` names the others.
    Args: matrix: as from `confusion_matrix`, of one image at least.
    """
    there = matrix.sum(1) > 0
    hits, images, taken = (values[there] for values in (matrix.diagonal(), matrix.sum(1),
                                                        matrix.sum(0)))
    return {"balanced_accuracy": float((hits / images).mean()),
            "macro_f1": float((2 * hits / (images + taken)).mean())}


def confusion_matrix(predicted, labels, classes):
    """How often which class was taken for which: numpy int64 (C, C), rows are true classes.

    Args: predicted, labels: int64 (N,) tensors in [0, classes).
    """
    pairs = torch.bincount(labels * classes + predicted, minlength=classes ** 2)
    return pairs.view(classes, classes).cpu().numpy()


def labelled_view(size, mean, std):
    """The view of a labelled set: random crop and flip with a generator, plain resize without.

    Args: size: px a side. mean, std: of RGB in [0, 1], three each.
    """
    statistics = {"mean": mean, "std": std}

    def view(images, random, share=None, now=None):
        if random is None:
            return augment.resize(images, now or size, **statistics)
        return augment.crop_flip(images, now or size, random, share=share, **statistics)
    return view
