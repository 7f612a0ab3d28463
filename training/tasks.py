"""What a training trains, the whole network or a classifier on features, as the loop takes it."""

import time
from typing import Callable, NamedTuple, Optional

import numpy as np
import torch

import utils
from data.dataloader import Batches, FeatureBatches, evaluation_batch
from functions import (CRITERIA, balanced_weights, labelled_view, metrics, predict,
                       training_criterion)
from records import runs
from supervised_pretrained.pretraining import classification
from training.command_line import evaluated_every, growing_sizes
from training.features import extract_features, kept_features
from training.linear import ScaledLinear, statistics
from training.loop import Job
from training.penalties import PenaltyPath


class TrainedPart(NamedTuple):
    """What a method trains, and the batches for it.

    trained: the module that batches go through in training; applied: the part of the network
    that they go through in evaluation. batches: "train", "val", "test" -> batches. view: as in
    functions.train_one_epoch. amp: of its forward passes. features: positions in the test split ->
    float32 (N, D). settle, solve: as in training.loop.Job; solve: from its objective.
    """

    trained: torch.nn.Module
    applied: torch.nn.Module
    batches: dict
    view: Optional[Callable]
    amp: str
    features: Callable
    settle: Callable = lambda: None
    solve: Callable = lambda objective: None

    def evaluate(self, criterion):
        """Returns: dict of the CSV's validation and test columns, none of what holds no images; int64
        (N,) array of the predicted classes of the test images, None without any."""
        row, predicted = {}, None
        for part in ("val", "test"):
            if len(self.batches[part]):
                logits, labels = self.predict(part)
                scores = metrics(logits, labels, criterion)
                if part == "test":
                    predicted = logits.argmax(1).cpu().numpy()
                row.update({f"{part}_{name}": value for name, value in scores.items()})
        return {name: value for name, value in row.items() if name in runs.TRAIN_COLUMNS}, predicted

    def predict(self, part):
        """Returns: (logits, labels) of "val" or "test"."""
        self.settle()
        return predict(self.applied, self.batches[part], self.view, self.amp)


def whole_task(args, backbone, found, device):
    """Train the whole network on images. Args: found: training.images.Labelled."""
    train, test, positions = found
    size, images = evaluation_batch(device, backbone.image_size), (train.images, train.labels)
    rows = {part: train.rows[found] for part, found in positions.items()}
    batches = {"train": Batches(*images, args.batch_size, device, rows["train"],
                                args.micro_batch_size),
               "val": Batches(*images, size, device, rows["val"]),
               "test": Batches(test.images, test.labels, size, device, test.rows)}
    amp, view = utils.choose_amp(args.amp, device), labelled_view(*backbone.input)

    def features(positions):
        some = Batches(test.images, test.labels, size, device, test.rows[positions])
        return torch.cat(list(extract_features(backbone.model, some, view, amp)))

    return TrainedPart(backbone.model, backbone.model, batches, view, amp, features)


def frozen_task(args, backbone, found, device):
    """Train the classifier on features that the frozen backbone gives once, standardised unless a
    flag says otherwise; the network gets the classifier that does the same on plain ones."""
    train, test, positions = found
    amp, started = utils.choose_amp(args.amp, device), time.perf_counter()
    folder = args.output_dir / "checkpoint" / "features"

    def features(split, views=0):
        return kept_features(folder, backbone, split, device, amp, views, args.seed)

    plain, tested, chosen = features(train), features(test), positions["train"]
    trained, kept = plain, chosen
    if args.feature_views:  # of those alone that are trained on
        trained = features(train._replace(rows=train.rows[chosen]), args.feature_views)
        kept = np.arange(len(chosen))
    seconds = time.perf_counter() - started
    print(f"features of the frozen backbone ready after {seconds:.1f} s", flush=True)
    labels, size = train.labels[train.rows], evaluation_batch(device, 1)
    fc = backbone.model.fc
    classifier = ScaledLinear(fc, *(statistics(trained, kept) if args.feature_scaling == "standard"
                                    else ([0.0] * fc.in_features, [1.0] * fc.in_features)))
    whole = not utils.by_steps(vars(args))
    there = torch.as_tensor(plain).to(device)  # once, for two parts of it
    trained = there if trained is plain else trained
    batches = {"train": FeatureBatches(trained, labels if kept is chosen else labels[chosen],
                                       len(kept) if whole else args.batch_size, device, kept),
               "val": FeatureBatches(there, labels, size, device, positions["val"]),
               "test": FeatureBatches(tested, test.labels[test.rows], size, device)}

    def solve(objective):
        return PenaltyPath(classifier, batches["train"], objective, args.epochs) if whole else None

    return TrainedPart(classifier, fc, batches, None, "off",
                       lambda positions: torch.from_numpy(tested[0][positions]),
                       lambda: classifier.fold_into(fc), solve)


def make_job(args, backbone, task, images, seen, duplicates):
    """What the loop needs to know of a run. Args: task: TrainedPart. images: training.images.Labelled. seen,
    duplicates: as from count_duplicates."""
    every, _ = evaluated_every(args, backbone.image_size, *images.counts)
    classes = images.train.classes
    criterion, batches, weights = CRITERIA[args.criterion](), task.batches["train"], None
    if args.class_weights == "balanced":
        weights = balanced_weights(batches.labels.cpu().numpy(), len(classes)).to(batches.device)
    objective = classification(*(training_criterion(
        args.criterion, args.label_smoothing, weights, reduction) for reduction in ("mean", "none")))
    trained_as = {**backbone.trained_as, "image_size": backbone.image_size}

    def evaluate(epoch):
        return ({}, None) if (args.epochs - epoch) % every else task.evaluate(criterion)

    return Job(
        network=backbone.model, trained=task.trained, batches=batches, view=task.view,
        amp=task.amp, objective=objective, columns=runs.TRAIN_COLUMNS,
        names=("train_loss", "train_accuracy"), evaluate=evaluate,
        chosen_by="val_accuracy", duplicates=duplicates, settle=task.settle,
        solve=task.solve(objective),
        sizes=growing_sizes(args.start_size, backbone.image_size),
        facts={"classes": list(classes), "trained_as": trained_as, "seen": seen})
