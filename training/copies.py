"""Exact copies of pictures between what a network has learned from and what it is judged by."""

import numpy as np

from data.duplicates import conflicting, count_copies, from_state, merged, same_picture, seen, to_state
from records.names import printable
from records.setting import DEEPEST, table


def count_duplicates(args, images, weights):
    """Count the pictures to choose and to test on that are among those to train on, or among those
    that the weights were made from, and those that have another label than their copy. Prints a line for
    each pair of parts that has some, and one where they cannot be compared.

    Args: images: training.images.Labelled. weights: supervised_pretrained.start.Weights.
    Returns: (what the network will have learned from, for its checkpoint; {"part/part": number of
        copies, None where it is not known which images the weights were made from, or where none is
        found and not all can be compared}; of "labels" that of images whose copy has another label).
    Raises: ValueError for more than --max-duplicates. Without it any number passes, but none
        between parts of one dataset that this suite has split itself: what a training holds out of
        the images that a pre-training has seen, and of own images that a CSV splits the test, too.
    """
    train, test, positions = images
    parts = {"val": (train, train.rows[positions["val"]]), "test": (test, test.rows)}
    own = seen(train, train.rows[positions["train"]])
    known = from_state(weights.seen)
    found = {f"train/{part}": count_copies(*where, own) for part, where in parts.items()}
    if weights.found:
        found.update({f"pretraining/{part}": None if known is None else
                      count_copies(*where, known) for part, where in parts.items()})
    for pair, number in found.items():
        if number:
            one, other = pair.split("/")
            print(f"duplicates: {number} of {len(parts[other][1])} images of {NAMES[other]} are "
                  f"exact copies of {NAMES[one]} images", flush=True)
    unknown = [NAMES[part] for part in parts if weights.found and found[f"pretraining/{part}"] is None]
    if unknown:
        reason = ("they are stored at other sizes, and not all of their files are known" if known else
                  f"{printable(weights.origin)} does not say what it was made from")
        print(f"duplicates: whether images of {' and '.join(unknown)} are among the pre-training images is not "
              f"known: {reason}", flush=True)
    _refuse(args, found, weights, train.val is not None)
    found["labels"] = _count_conflicts(train, test)
    return learned_from(own, weights), found


def _count_conflicts(*splits):
    """How many images have a copy with another label; says so. Args: splits: of one dataset, stored at one
    size."""
    labels, checksums, contents = (np.concatenate([getattr(split, name)[split.rows] for split in splits])
                                   for name in ("labels", "checksums", "contents"))
    found = conflicting(labels, same_picture(checksums, contents))
    if found.any():
        names = [printable(splits[0].classes[k]) for k in np.unique(labels[found])[:SHOWN]]
        print(f"duplicates: {found.sum()} labelled images are exact copies of one with another label, among the "
              f"classes {', '.join(names)}: no network can be right on both", flush=True)
    return int(found.sum())


def learned_from(own, weights):
    """What a network will have learned from, as its checkpoint keeps it; None where that is not
    known of the weights that it starts from.

    Args: own: as of data.duplicates.seen. weights: as above; None for none.
    """
    if weights is None or not weights.found:
        return to_state(own)
    known = from_state(weights.seen)
    return None if known is None else to_state(merged(own, known))


def made_from(weights):
    """The datasets that weights were made from, as far back as it is known. Args: weights: as
    records.runs.Identity has them."""
    found = set()
    for _ in range(DEEPEST):
        run = table(weights or {}, "run")
        found.add(table(run, "settings").get("data"))
        weights = table(run, "weights")
    return found


SHOWN = 6  # names of classes in a line
NAMES = {"train": "training", "pretraining": "pre-training", "val": "validation", "test": "the test"}


def _refuse(args, found, weights, split):
    """Args: split: whether a CSV says which images are to choose and to test on."""
    most = args.max_duplicates
    number = (found.get("pretraining/val") or 0) + split * (found.get("pretraining/test") or 0)
    if most is None and number and args.data in made_from(weights.identity):
        what, judge, flags = ("to choose or test on", "they", "split") if split else (
            "held out to choose on", "validation", "--val-ratio and --val-seed")
        raise ValueError(f"{number} images {what} have been pre-trained on, so that {judge} would "
                         f"tell what is known by heart; pre-train with the same {flags}, which "
                         "leaves them out, or let them pass with --max-duplicates")
    total = sum(number or 0 for number in found.values())
    if most is not None and total > most:
        raise ValueError(f"{total} exact copies between the images to learn from and those to "
                         f"choose or test on, more than --max-duplicates {most}; take them away, "
                         "or let more pass")
