"""Train one of the methods on a labelled dataset."""

from typing import NamedTuple

import torch

import utils
from conf import global_settings as settings
from data import augment
from data.datasets import DATASETS, files_digest
from data.sampling import stratified
from functions import MODEL_TYPES, confusion_matrix, with_classifier
from parallel import distributed
from records import checkpoint
from records.names import printable
from records.predictions import write_labels
from records.results import SHARES
from records.setting import table
from records.tensorboard_log import SHEET
from supervised_pretrained.start import read_weights
from training.command_line import (check_batch_size, check_start_size, parse_train,
                                   trains_batch_norm)
from training.copies import count_duplicates
from training.identity import name_of, of_training, start_of
from training.images import open_labelled, say_unchosen
from training.loop import Run
from training.places import claim
from training.tasks import TrainedPart, frozen_task, make_job, whole_task

PROJECTED, THUMBNAIL = 500, 32  # about so many test images in TensorBoard's projector; px a side


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    found = prepare(parse_train(argv))
    if found:
        show(found, found.run.train())


class Prepared(NamedTuple):
    """A run that is ready to train. test: data.datasets.Split. backbone: functions.Backbone."""

    run: Run
    task: TrainedPart
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
            f"no checkpoint of a finished pre-training of a {args.arch} on {' or '.join(wanted)} below "
            f"{folder}{there}; make one with `python pretrain.py --model_type {kind.pretraining}` or "
            "name one with --pretrained-model-path")
    print(f"starting from {path}")
    return path


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
