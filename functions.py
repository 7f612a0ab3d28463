"""The method registry, and what the programs do with a network: build, train an epoch, evaluate, extract."""

import contextlib
from typing import NamedTuple

import torch
from torch.nn import functional as F

from checkpoint import backbone_weights, load_backbone, without_head
from conf import global_settings as settings
from data import augment
from data.dataloader import generator
from supervised.resnet import features, resnet
from supervised_pretrained.imagenet import imagenet_weights


class ModelType(NamedTuple):
    """weights: "none", "simclr" or "supervised"; frozen: only fc is trained and batch-norm stays as loaded;
    pretraining: the model type of pretrain.py that makes its weights; imagenet: ImageNet weights by default."""

    weights: str
    frozen: bool
    pretraining: str = ""
    imagenet: bool = False


MODEL_TYPES = {
    "SelfSupervisedPretrained": ModelType("simclr", True, "SelfSupervisedPretraining"),
    "SelfSupervisedPretrainedFinetune": ModelType("simclr", False, "SelfSupervisedPretraining"),
    "SupervisedPretrained": ModelType("supervised", True, "SupervisedPretraining", imagenet=True),
    "SupervisedPretrainedFinetune": ModelType("supervised", False, "SupervisedPretraining", imagenet=True),
    "Supervised": ModelType("none", False),
}
CRITERIA = {"CrossEntropyLoss": torch.nn.CrossEntropyLoss, "MultiMarginLoss": torch.nn.MultiMarginLoss}


class Backbone(NamedTuple):
    """A network with `fc`, and the input its weights expect: px a side, mean and std of RGB in [0, 1]."""

    model: torch.nn.Module
    image_size: int
    mean: tuple
    std: tuple
    trained_as: dict


def build_model(kind, arch, classes, dataset, path=None, image_size=None):
    """Build the network of a method with its weights loaded and a new classifier.

    Args: kind: a ModelType. dataset: a data.datasets.Dataset, whose size and statistics serve where the
        weights have none. path: a checkpoint; None for untrained or ImageNet weights as kind says.
    Raises: FileNotFoundError, ValueError for weights that do not fit.
    """
    tensors = None
    trained_as = {"stem": "3x3", "mean": dataset.mean, "std": dataset.std, "image_size": dataset.image_size}
    if path is not None:
        tensors, trained_as = backbone_weights(path)
    elif kind.imagenet:
        tensors, trained_as = imagenet_weights(arch)
        tensors = without_head(tensors)
    model = resnet(arch, classes, trained_as["stem"])
    if tensors is not None:
        load_backbone(model, tensors, path or "ImageNet weights")
    if kind.frozen:
        model.requires_grad_(False)
        model.fc.requires_grad_(True)
    size = image_size or trained_as["image_size"] or dataset.image_size
    return Backbone(model, size, tuple(trained_as["mean"]), tuple(trained_as["std"]), trained_as)


def autocast(device, amp):
    """The context of a forward pass. amp: "off", "bf16" or "fp16"."""
    if amp == "off":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, {"bf16": torch.bfloat16, "fp16": torch.float16}[amp])


def train_one_epoch(network, batches, criterion, optimizer, rate, *, view, seed, epoch, amp="off", on_step=None):
    """Train one epoch on labelled images.

    Args:
        rate: step of this epoch -> learning rate. view: (uint8 images, generator) -> network input.
        epoch: counted from 1; with seed it decides order and augmentation. on_step: called after each step.
    Returns: dict of loss (nats, mean over images), accuracy (fraction), learning_rate (of the last step).
    Raises: ValueError for a loss that is not finite.
    """
    network.train()
    random = generator(batches.device, seed, epoch)
    scaler = torch.amp.GradScaler(batches.device.type, enabled=amp == "fp16")
    loss_sum, correct, seen = 0.0, 0, 0
    for step, (images, labels) in enumerate(batches.epoch(seed, epoch)):
        _set_rate(optimizer, rate(step))
        inputs = view(images, random)
        with autocast(batches.device, amp):
            logits = network(inputs).float()
            loss = criterion(logits, labels)

        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        seen += len(labels)
        if on_step:
            on_step(step)
    return _finite({"loss": float(loss_sum / seen), "accuracy": float(correct / seen),
                    "learning_rate": rate(step)}, epoch)


def train_classifier_epoch(classifier, inputs, labels, criterion, optimizer, rate, *, batch_size, seed, epoch):
    """Train a linear classifier for one epoch on features that were extracted once.

    Args: inputs: (V, N, D) float features of V views of N images; each epoch uses one view of each image.
    Returns, Raises: as train_one_epoch.
    """
    random = generator(inputs.device, seed, epoch)
    order = torch.randperm(len(labels), generator=random, device=inputs.device)
    view = torch.randint(len(inputs), (len(labels),), generator=random, device=inputs.device)
    loss_sum, correct = 0.0, 0
    for step, rows in enumerate(order.split(batch_size)):
        _set_rate(optimizer, rate(step))
        logits = classifier(inputs[view[rows], rows])
        loss = criterion(logits, labels[rows])

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        loss_sum += loss.detach() * len(rows)
        correct += (logits.argmax(1) == labels[rows]).sum()
    return _finite({"loss": float(loss_sum / len(labels)), "accuracy": float(correct / len(labels)),
                    "learning_rate": rate(step)}, epoch)


def _set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def _finite(result, epoch):
    if not result["loss"] < float("inf"):
        raise ValueError(f"the loss became {result['loss']} in epoch {epoch}: lower --lr "
                         f"(it was {result['learning_rate']:g}); the last checkpoint is untouched")
    return result


@torch.no_grad()
def predict(network, batches, view, amp="off"):
    """Logits of every image, in order.

    Returns: (logits (N, classes) float32, labels (N,)), on the batches' device.
    """
    network.eval()
    logits, labels = [], []
    for images, target in batches.epoch():
        inputs = view(images, None)
        with autocast(batches.device, amp):
            logits.append(network(inputs).float())
        labels.append(target)
    return torch.cat(logits), torch.cat(labels)


def metrics(logits, labels, criterion):
    """Loss (mean over images), top-1 and top-5 accuracy (fractions; top-all with fewer than five classes)."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    return {"loss": float(criterion(logits, labels)), "accuracy": float(ranked[:, 0].double().mean()),
            "top5_accuracy": float(ranked.any(1).double().mean())}


@torch.no_grad()
def extract_features(model, batches, view, amp="off", views=0, seed=0):
    """Features of a frozen backbone.

    Args: views: augmented views of each image; 0 for one view without randomness.
    Returns: (max(1, views), N, D) float32 and labels (N,), on the batches' device.
    """
    model.eval()
    found, labels = [], None
    for number in range(max(1, views)):
        random = generator(batches.device, seed, number) if views else None
        rows, targets = [], []
        for images, target in batches.epoch():
            inputs = view(images, random)
            with autocast(batches.device, amp):
                rows.append(features(model, inputs).float())
            targets.append(target)
        found.append(torch.cat(rows))
        labels = torch.cat(targets)
    return torch.stack(found), labels


def knn_accuracy(bank, bank_labels, queries, labels):
    """Weighted k-nearest-neighbour accuracy by cosine similarity (Wu et al. 2018, section 3.4).

    Args: bank (M, D), queries (N, D) float features; labels int64. Returns: fraction in [0, 1].
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    near, index = similarity.topk(min(settings.KNN_NEIGHBOURS, len(bank)), dim=1)
    votes = torch.zeros(len(queries), int(max(bank_labels.max(), labels.max())) + 1, device=queries.device)
    votes.scatter_add_(1, bank_labels[index], (near / settings.KNN_TEMPERATURE).exp())
    return float((votes.argmax(1) == labels).double().mean())


def labelled_view(backbone):
    """The view of training and evaluation: random crop and flip with a generator, plain resize without."""
    def view(images, random):
        if random is None:
            return augment.resize(images, backbone.image_size, mean=backbone.mean, std=backbone.std)
        return augment.crop_flip(images, backbone.image_size, random, mean=backbone.mean, std=backbone.std)
    return view
