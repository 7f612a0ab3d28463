"""The images of a run, opened as its settings say, and what tells them from others. No PyTorch."""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from data.datasets import Split, images_digest, load_split, stored_size
from data.duplicates import copies, merged, seen
from data.layout import split_folder, val_folder
from data.own import find_own, stores_of, unlabelled_folders
from data.sampling import hold_out, stratified
from data.unlabelled import joined, load_unlabelled
from records.names import composed, printable
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
    def counts(self):
        """How many there are to train on, and to choose and to test on."""
        return len(self.positions["train"]), len(self.positions["val"]) + len(self.test.rows)

    @property
    def digests(self):
        """{part: hex digest}; "images" is what "train" and "val" were drawn from."""
        parts = {part: images_digest(self.train, found) for part, found in self.positions.items()}
        return {"images": images_digest(self.train), **parts, "test": images_digest(self.test)}


def open_labelled(args, image_size):
    """Open the labelled images, and hold out those to choose on.

    Args: image_size: px a side that the network sees. Returns: Labelled.
    Raises: as data.datasets.load_split; ValueError for images without labels, or classes that are
        others to test on.
    """
    options, size = _options(args), stored_size(args.data, image_size)
    _say_unlisted(args)
    train = load_split(args.data, "train", args.data_dir, size, **options)
    if not train.labelled:
        raise ValueError(f"--data {args.data} has no labels: <class> folders are needed in "
                         f"{args.data_dir}/train")
    test = load_split(args.data, "test", args.data_dir, size, **options)
    if tuple(train.classes) != tuple(test.classes):  # a label would be another class there
        raise ValueError(f"{printable(args.data_dir)}: the test images have other classes than the "
                         f"training images: {_some(test.classes)} and {_some(train.classes)}; they "
                         "must have the same ones")
    labels = train.labels[train.rows]
    if train.val is None:
        kept, held_out = hold_out(train.labels, args.val_ratio, args.val_seed, train.checksums,
                                  train.rows)
    else:
        chosen = np.isin(train.rows, train.val)
        kept, held_out = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    kept = kept[stratified(labels[kept], args.label_ratio, args.seed, purpose="labels")]
    return Labelled(train, test, {"train": kept, "val": held_out})


def say_unchosen(classes, labels):
    """Name the classes that validation has no image of. Args: labels: of its images."""
    lacking = [name for k, name in enumerate(classes) if k not in labels]
    if lacking:
        print(f"validation has no image of {len(lacking)} of {len(classes)} classes: "
              f"{_some(lacking)}", flush=True)


def _some(classes):
    names = ", ".join(map(printable, classes[:CLASSES_NAMED]))
    return names + (", ..." if len(classes) > CLASSES_NAMED else "")


def open_pretraining(args):
    """Open the images to pre-train on, less those that a training will hold out. Returns: Split.

    Without labels the pictures of unlabelled folders are among them, less all copies of what own
    images are chosen and tested on.
    Raises: as data.datasets.load_split; ValueError for images without labels where they are needed.
    """
    labels = PRETRAININGS[args.model_type].labels
    _say_unlisted(args)
    split = load_split(args.data, trained_part(args.data, labels), args.data_dir, _store_size(args),
                       args.sample_ratio, args.seed, labels=labels, left_out=_left_out(args),
                       **_options(args))
    if labels and not split.labelled:
        raise ValueError(f"--data {args.data} has no labels; {args.model_type} needs <class> "
                         "folders")
    if split.val is not None or args.unlabelled:
        return _apart_from_judged(args, split, [] if labels else _unlabelled(args, split))
    if trained_part(args.data, labels) == "train" and split.labels.min() >= 0:
        drawn = len(hold_out(split.labels, args.val_ratio, args.val_seed)[1])
        if drawn:
            print(f"left out of pre-training: {drawn} of {len(split.labels)} images, which train.py holds out to "
                  f"choose on (--val-ratio {args.val_ratio:g}, --val-seed {args.val_seed}); test "
                  "images are not read at all", flush=True)
    return split


def _unlabelled(args, split):
    """Folders of pictures without labels that belong to a pre-training on own images."""
    beside = unlabelled_folders(args.data_dir) if split.val is not None else []
    return [*beside, *([args.unlabelled] if args.unlabelled else [])]


def _apart_from_judged(args, split, folders):
    """The images of a training part and of folders without labels that are neither those to choose
    and to test on nor copies of them. Returns: Split."""
    held_out, known = _judged(args, split)
    if held_out:
        print(f"left out of pre-training: {held_out}", flush=True)
    found = _without_copies(split, known, str(args.data_dir))
    for folder in folders:
        options = {name: value for name, value in _options(args).items() if name != "given"}
        more = load_unlabelled(folder, args.data_dir, _store_size(args), args.sample_ratio,
                               args.seed, **options)
        print(f"{printable(folder)}: {len(more.rows)} images without labels", flush=True)
        found = joined(found, _without_copies(more, known, folder))
    return found


def _judged(args, split):
    """What own images are chosen and tested on: (in words, as of data.duplicates.seen; "" and None
    where nothing says it: a pile without labels)."""
    options, size, pile = _options(args), _store_size(args), split.labels.min() < 0
    if pile:
        return "", None
    if split.val is not None:
        whole, val = split, split.val
    else:
        whole = load_split(args.data, "train", args.data_dir, size, **options)
        val = whole.rows[hold_out(whole.labels, args.val_ratio, args.val_seed, whole.checksums,
                                  whole.rows)[1]]
    known = seen(whole, val)
    words = f"{len(val)} images to choose on"
    if split.val is not None or split_folder(args.data_dir, "test"):
        test = load_split(args.data, "test", args.data_dir, size, **options)
        known, words = merged(known, seen(test, test.rows)), f"{words}, {len(test.rows)} to test on"
    return words, known


def _without_copies(split, known, name):
    """A Split less the images to choose on and copies of some that are known."""
    rows = split.rows if split.val is None else np.setdiff1d(split.rows, split.val)
    if known is not None:
        same = copies(split, rows, known)
        if same.any():
            print(f"left out of pre-training: {same.sum()} of {len(rows)} images of {printable(name)}, copies of "
                  "images to choose or test on", flush=True)
        rows = rows[~same]
    return split._replace(rows=rows, val=None)


def _say_unlisted(args):
    """Say which pictures the split of own images does not list."""
    if args.data == "folder":
        stores = stores_of(args.data_dir, args.store_dir)
        own, val = find_own(args.data_dir, stores, args.split), val_folder(args.data_dir)
        line = own.unlisted(stores) if own else ""
        if line:
            print(line, flush=True)
        if own is None and val and split_folder(args.data_dir, "train"):
            print(f"{printable(val)}: not read; it is chosen on where val/, test/ and train/ have the "
                  "same classes in folders", flush=True)


def pretraining_digests(split):
    """{part: hex digest} of the images of a pre-training. "images" is what they are a sample of, by
    labels and class names alone: it may never have been decoded."""
    names = [composed(name) for name in split.classes]
    known = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    labels = split.labels if split.pool is None else split.labels[split.pool]
    known.update(np.ascontiguousarray(labels, dtype="<i8"))
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
        with_label = split.rows[split.labels[split.rows] >= 0]
        return split._replace(rows=with_label) if len(with_label) else split
    ratio = min(1.0, args.sample_ratio + most / len(split.labels))
    more = load_split(name, part, args.data_dir, _store_size(args), ratio, args.seed,
                      left_out=_left_out(args), **_options(args))
    rows = more.rows if more.val is None else np.setdiff1d(more.rows, more.val)
    return more._replace(rows=np.setdiff1d(rows, split.rows))


def _left_out(args):
    """What load_split leaves out; None where a CSV says what is held out."""
    return None if args.val_ratio is None else (args.val_ratio, args.val_seed)


def _store_size(args):
    return args.store_size or pretraining_size(args)


def _options(args):
    return {"workers": args.workers, "max_bad_images": args.max_bad_images,
            "store_dir": args.store_dir, "given": args.split}
