"""Pre-training with labels: to classify the images themselves."""

import torch

from parallel.gradients import Objective
from supervised.resnet import resnet

VIEW, VIEW_FLAGS = "random_resized_crop_flip", ("crop_scale",)
ACCURACY = None


def network(args, stem, classes):
    return resnet(args.arch, classes, stem)


def objective(args):
    return classification(torch.nn.CrossEntropyLoss())


def classification(criterion, losses=None):
    """The objective of classifying: a criterion, and how many images got the right class. Args:
    losses: as criterion, of every image instead of their mean."""
    def measure(logits, labels):
        return criterion(logits, labels), (logits.argmax(1) == labels).sum()

    def each(logits, labels):
        return losses(logits, labels), logits.argmax(1) == labels
    return Objective(measure, each=each)
