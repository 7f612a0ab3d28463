"""The images of a run, opened as its settings say, and what tells them from others. No PyTorch."""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from data.datasets import Split, images_digest, load_split, stored_size
from data.sampling import hold_out, stratified
from records.names import printable
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import pretraining_size, trained_part

CLASSES_NAMED = 5  # in a line


class Labelled(NamedTuple):
    """The images of train.py. train, test: Splits. positions: {"train", "val": int64 positions
    among the rows of train}."""

    train: Split
    test: Split
    positions: dict

    @property
    def digests(self):
        """{part: hex digest}; "images" is what "train" and "val" were drawn from."""
        parts = {part: images_digest(self.train, found) for part, found in self.positions.items()}
        return {"images": images_digest(self.train), **parts, "test": images_digest(self.test)}


def open_labelled(args, image_size):
    """Open the labelled images, and hold out those to choose on.

    Args: image_size: px a side that the network sees. Returns: Labelled.
    Raises: as data.datasets.load_split; ValueError for images without labels.
    """
    options, size = _options(args), stored_size(args.data, image_size)
    train = load_split(args.data, "train", args.data_dir, size, **options)
    if not train.labelled:
        raise ValueError(f"--data {args.data} has no labels: <class> folders are needed in "
                         f"{args.data_dir}/train")
    test = load_split(args.data, "test", args.data_dir, size, **options)
    labels = train.labels[train.rows]
    kept, held_out = hold_out(train.labels, args.val_ratio, args.val_seed, train.checksums,
                              train.rows)
    kept = kept[stratified(labels[kept], args.label_ratio, args.seed, purpose="labels")]
    return Labelled(train, test, {"train": kept, "val": held_out})


def say_unchosen(classes, labels):
    """Name the classes that validation has no image of. Args: labels: of its images."""
    lacking = [name for k, name in enumerate(classes) if k not in labels]
    if lacking:
        names = ", ".join(map(printable, lacking[:CLASSES_NAMED]))
        names += ", ..." if len(lacking) > CLASSES_NAMED else ""
        print(f"validation has no image of {len(lacking)} of {len(classes)} classes, which have "
              f"too few to hold one out: {names}", flush=True)


def open_pretraining(args):
    """Open the images to pre-train on, less those that a training will hold out. Returns: Split.

    Raises: as data.datasets.load_split; ValueError for images without labels where they are needed.
    """
    labels = PRETRAININGS[args.model_type].labels
    split = load_split(args.data, trained_part(args.data, labels), args.data_dir, _store_size(args),
                       args.sample_ratio, args.seed, labels=labels,
                       left_out=(args.val_ratio, args.val_seed), **_options(args))
    if labels and not split.labelled:
        raise ValueError(f"--data {args.data} has no labels; {args.model_type} needs <class> "
                         "folders")
    if trained_part(args.data, labels) == "train" and split.labels.min() >= 0:
        drawn = len(hold_out(split.labels, args.val_ratio, args.val_seed)[1])
        if drawn:
            print(f"left out: {drawn} of {len(split.labels)} images, which train.py holds out to "
                  f"choose on (--val-ratio {args.val_ratio:g}, --val-seed {args.val_seed}); test "
                  "images are not read at all", flush=True)
    return split


def pretraining_digests(split):
    """{part: hex digest} of the images of a pre-training. "images" is what they are a sample of, by
    labels and class names alone: it may never have been decoded."""
    known = hashlib.blake2b(json.dumps(list(split.classes)).encode(), digest_size=16)
    known.update(np.ascontiguousarray(split.labels, dtype="<i8"))
    return {"images": known.hexdigest(), "pretrain": images_digest(split)}


def open_probed(args, split, most):
    """The images for the kNN accuracy. Those whose labels are trained on would tell what is known
    by heart: with labels it is another part of the dataset (the digits 5-9), or what the sample
    leaves out.

    Args: split: what is trained on. most: so many images are enough. Returns: Split.
    """
    labels, name = PRETRAININGS[args.model_type].labels, args.knn_data or args.data
    part = trained_part(args.data, labels)
    if name != args.data or part == "unlabeled" or labels and part != "train":
        size = stored_size(name, pretraining_size(args))
        return load_split(name, "train", args.data_dir, size, **_options(args))
    if not labels:
        return split
    ratio = min(1.0, args.sample_ratio + most / len(split.labels))
    more = load_split(name, part, args.data_dir, _store_size(args), ratio, args.seed,
                      left_out=(args.val_ratio, args.val_seed), **_options(args))
    return more._replace(rows=np.setdiff1d(more.rows, split.rows))


def _store_size(args):
    return args.store_size or pretraining_size(args)


def _options(args):
    return {"workers": args.workers, "max_bad_images": args.max_bad_images,
            "store_dir": args.store_dir}
