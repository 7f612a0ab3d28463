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


def classification(criterion):
    """The objective of classifying: a criterion, and how many images got the right class."""
    def measure(logits, labels):
        return criterion(logits, labels), (logits.argmax(1) == labels).sum()
    return Objective(measure)
