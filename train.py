"""Train one of the methods on a labelled dataset."""

import time
from typing import Callable, NamedTuple, Optional

import numpy as np
import torch

import utils
from conf import global_settings as settings
from data import augment
from data.dataloader import Batches, FeatureBatches, evaluation_batch
from data.datasets import DATASETS, files_digest
from data.sampling import stratified
from functions import (CRITERIA, MODEL_TYPES, balanced_weights, confusion_matrix,
                       labelled_view, metrics, predict, training_criterion, with_classifier)
from parallel import distributed
from records import checkpoint, runs
from records.names import printable
from records.predictions import write_labels
from records.results import SHARES
from records.setting import table
from records.tensorboard_log import SHEET
from supervised_pretrained.pretraining import classification
from supervised_pretrained.start import read_weights
from training.command_line import (check_batch_size, check_start_size, evaluated_every, growing_sizes,
                                   parse_train, trains_batch_norm)
from training.copies import count_duplicates
from training.features import extract_features, kept_features
from training.identity import name_of, of_training, start_of
from training.images import open_labelled, say_unchosen
from training.linear import ScaledLinear, statistics
from training.loop import Job, Run
from training.penalties import PenaltyPath
from training.places import claim

PROJECTED, THUMBNAIL = 500, 32  # about so many test images in TensorBoard's projector; px a side


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    found = prepare(parse_train(argv))
    if found:
        show(found, found.run.train())


class Prepared(NamedTuple):
    """A run that is ready to train. test: data.datasets.Split. backbone: functions.Backbone."""

    run: Run
    task: "Task"
    test: object
    backbone: object


def prepare(args, say=print):
    """Read the weights and the images of a run, take its place, and build what it trains.

    Args: say: where the run's lines go. Returns: Prepared, or None for a run that is finished.
    Raises: ValueError, OSError.
    """
    kind = MODEL_TYPES[args.model_type]
    device = utils.open_device(args.device)
    distributed.join(device)
    args.pretrained_model_path = path = find_pretrained(args, kind)  # for config.yml
    weights = read_weights(kind, args.arch, DATASETS[args.data], path, args.image_size, args.stem,
                           args.mean, args.std)
    check_start_size(args, {"image_size": weights.image_size, "stem": weights.trained_as["stem"]})
    images = open_labelled(args, weights.image_size)
    if args.val_ratio or images.train.val is not None:
        say_unchosen(images.train.classes, images.train.labels[images.train.rows[
            images.positions["val"]]])
    start = start_of(kind, args.data, args.arch, path, weights)
    identity = of_training(args, start, images)
    place = claim(args, identity, name_of(args, identity, start.usual))
    if place is None:
        return None
    check_batch_size(args, len(images.positions["train"]), distributed.world(),
                     trains_batch_norm(args))
    seen, found = count_duplicates(args, images, weights)
    if distributed.rank() == 0:
        write_labels(place.csv, identity.data["test"], images.test.labels[images.test.rows],
                     len(images.test.classes))

    torch.manual_seed(args.seed)  # of the weights; all else has streams of its own
    backbone = with_classifier(kind, args.arch, len(images.train.classes), weights)
    backbone.model.to(device, memory_format=torch.channels_last)
    make_task = frozen_task if kind.frozen else whole_task
    task = make_task(args, backbone, images, device)
    run = Run(make_job(args, backbone, task, images, seen, found), args, place, say)
    say(f"{args.model_type} on {len(images.positions['train'])} images of {args.data} at "
        f"{backbone.image_size} px, {backbone.trained_as['stem']} stem, {args.epochs} "
        + (f"epochs of {run.steps} steps" if run.optimizer else "penalties"), flush=True)
    run.note(labelled_images=len(images.positions["train"]), train_files=files_digest(images.train),
             test_files=files_digest(images.test))  # the same pictures at another size are comparable
    return Prepared(run, task, images.test, backbone)


def find_pretrained(args, kind):
    """The checkpoint to start from: the one asked for, or the newest of a pre-training of this network on
    the images of this dataset or those that are there for it; None for ImageNet weights or none.

    Raises: FileNotFoundError where there is none, with what is there instead.
    """
    if args.pretrained_model_path or not kind.pretraining or kind.imagenet:
        return args.pretrained_model_path
    folder = args.output_dir / "checkpoint" / kind.pretraining
    wanted, others = {args.data: None, settings.PRETRAINING_DATA: None}, {}

    def fits(state):
        config = table(state, "config")
        found = config.get("arch", args.arch), config.get("data", args.data)
        others.setdefault(" on ".join(map(printable, map(str, found))))
        return found[0] == args.arch and found[1] in wanted

    path = checkpoint.newest(folder, fits)
    if path is None:
        there = f" (there: {', '.join(others)})" if others else ""
        raise FileNotFoundError(
            f"no checkpoint of a finished pre-training of a {args.arch} on {' or '.join(wanted)} below {folder}{there}; "
            f"make one with `python pretrain.py --model_type {kind.pretraining}` or name one with "
            "--pretrained-model-path")
    print(f"starting from {path}")
    return path


class Task(NamedTuple):
    """trained: the module that batches go through in training; applied: the part of the network
    that they go through in evaluation. batches: "train", "val", "test" -> batches. view: as in
    functions.train_one_epoch. amp: of its forward passes. features: positions in the test split ->
    float32 (N, D). settle, solve: as in training.loop.Job; solve: from its objective."""

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

    return Task(backbone.model, backbone.model, batches, view, amp, features)


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

    return Task(classifier, fc, batches, None, "off",
                lambda positions: torch.from_numpy(tested[0][positions]),
                lambda: classifier.fold_into(fc), solve)


def make_job(args, backbone, task, images, seen, duplicates):
    """What the loop needs to know of a task. Args: images: training.images.Labelled. seen,
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


def show(prepared, row):
    """Put the confusion matrix, wrong predictions, features, settings and final figures into
    TensorBoard. Args: row: the last one of the CSV."""
    run, task, test, backbone = prepared
    logits, labels = task.predict("test")
    board, names, statistics = run.board, test.classes, (backbone.mean, backbone.std)
    predicted = logits.argmax(1)
    board.confusion(confusion_matrix(predicted, labels, len(names)), names, run.epoch)

    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    worst = loss.masked_fill(predicted == labels, -1).argsort(descending=True)[:SHEET].cpu()
    worst = worst[(predicted != labels).cpu()[worst]]
    if len(worst):
        taken = [(names[predicted[k]], names[labels[k]]) for k in worst]
        pictures = _pictures(backbone, test, worst.numpy(), backbone.image_size)
        board.named_images("most_wrong", pictures, *statistics, taken, run.epoch)

    share = min(1.0, PROJECTED / len(labels))
    some = stratified(labels.cpu().numpy(), share, run.args.seed, purpose="shown")
    board.features(task.features(some), [names[k] for k in labels[some]],
                   _pictures(backbone, test, some, THUMBNAIL), *statistics, run.epoch)
    final = {name: value for name, value in row.items() if name.endswith(SHARES)}
    run.finish(final)


def _pictures(backbone, split, positions, size):
    """Some images of a split as the network sees them, but of another size."""
    images = torch.from_numpy(split.images[split.rows[positions]])
    return augment.resize(images, size, mean=backbone.mean, std=backbone.std)


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
