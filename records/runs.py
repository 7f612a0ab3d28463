"""What a run is, the name that follows from it, and the CSV with a row an epoch."""

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple, Optional

from conf import global_settings as settings
from records.files import whole

TRAIN_COLUMNS = ("epoch", "image_size", "learning_rate", "penalty", "train_loss",
                 "train_accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy", "test_loss",
                 "test_accuracy", "test_top5_accuracy", "test_balanced_accuracy", "test_macro_f1",
                 "images_per_second", "seconds")
PRETRAIN_COLUMNS = ("epoch", "image_size", "learning_rate", "loss", "contrast_accuracy",
                    "knn_accuracy", "rankme", "images_per_second", "seconds")
NAME_LENGTH = 90  # about so many signs of a name spell settings out; the digest tells the rest
IN_NAME = ("model_type", "data", "optimizer", "lr", "batch_size", "sample_ratio", "label_ratio",
           "seed")  # settings that have a place of their own in a name, or in its folder's


class Identity(NamedTuple):
    """What a run was made from. Equal identities are the same run, and nothing else is.

    settings: flag -> value of all that can change a number, as it takes effect. data: part ->
    digest of its images' checksums, labels and class names. weights: what it starts from, None for
    nothing: a dict of digest, of the tensors; from, "run", "imagenet" or "file"; run, the Identity
    (as of `plain`) of the run of ours that made them, else None.
    """

    settings: dict
    data: dict
    weights: Optional[dict] = None

    def plain(self):
        """The three parts as builtins, for a YAML file or a checkpoint."""
        return {"settings": _plain(self.settings), "data": dict(self.data),
                "weights": _plain(self.weights)}

    @property
    def digest(self):
        """8 hex digits of all that decides the result: of weights that is their tensors' digest,
        whoever made them."""
        weights = self.weights and self.weights["digest"]
        text = json.dumps([_plain(self.settings), self.data, weights], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def identity_of(record):
    """The Identity in a run's YAML file or checkpoint, as a dict; None where there is none."""
    record = record if isinstance(record, dict) else {}
    parts = [record.get(name) for name in Identity._fields]
    whole_one = all(isinstance(part, dict) for part in parts[:2]) and (
        parts[2] is None or isinstance(parts[2], dict) and "digest" in parts[2])
    return Identity(*parts) if whole_one else None


def run_name(identity, usual):
    """The name of a run, for people: `readable_name` and 8 hex digits that tell all runs apart."""
    return f"{readable_name(identity, usual)}-{identity.digest}"


def readable_name(identity, usual):
    """`<data>-<optimizer>-lr<lr>-bs<batch size>[-ratio<ratio>][-labels<ratio>][-seed<seed>]`, then
    what else is not usual, spelled out while it is short. lbfgs has neither rate nor batches.

    The ratio is that of the pre-training, the run's own or the one it starts from.
    Args: usual: flag -> value that goes without saying.
    """
    known = identity.settings
    name = f"{known['data']}-{known['optimizer']}"
    name += f"-lr{known['lr']:.15g}-bs{known['batch_size']}" if "lr" in known else ""
    name += _ratio(known) or _ratio(_origin(identity.weights), named=True)
    name += f"-labels{known['label_ratio']:.15g}" if known.get("label_ratio", 1) != 1 else ""
    name += f"-seed{known['seed']}" if known["seed"] else ""
    for flag, value in known.items():
        if flag not in IN_NAME and _plain(value) != _plain(usual.get(flag)):
            part = f"-{flag.replace('_', '')}{_spelled(value)}"
            if len(name) + len(part) > NAME_LENGTH or isinstance(value, (list, tuple)):
                continue
            name += part
    return name


def differences(before, now):
    """In words, what sets two identities apart; [] for equal ones. Args: before, now: Identity."""
    one, other = _plain(before.settings), _plain(now.settings)
    flags = [*one, *(flag for flag in other if flag not in one)]
    found = [f"{_flag(flag)} was {_told(one, flag)} and is {_told(other, flag)}" for flag in flags
             if (flag in one, json.dumps(one.get(flag))) != (
                 flag in other, json.dumps(other.get(flag)))]  # as JSON, 1 and True differ
    parts = [part for part in {**before.data, **now.data}
             if before.data.get(part) != now.data.get(part)]
    if parts:
        found.append(f"images or labels have changed (of {', '.join(parts)})")
    digests = [weights and weights["digest"] for weights in (before.weights, now.weights)]
    if digests[0] != digests[1]:
        found.append("it began with other weights than these")
    return found


def _ratio(known, named=False):
    """The sample ratio of a pre-training as part of a name. Args: named: with its dataset where
    that is not the usual one."""
    if "sample_ratio" not in known:
        return ""
    source = str(known.get("data", settings.PRETRAINING_DATA))
    if not source.isidentifier():  # it comes from a file of weights, and goes into a path
        raise ValueError(f"weights pre-trained on {source!r}: no name of a dataset")
    return (f"-from{source}" if named and source != settings.PRETRAINING_DATA else "") + (
        f"-ratio{known['sample_ratio']:.15g}")


def _origin(weights):
    """The settings of the pre-training at the beginning of some weights; {} for others'."""
    run = weights and weights.get("run")
    while run and "sample_ratio" not in run["settings"]:
        run = (run["weights"] or {}).get("run")
    return run["settings"] if run else {}


def _plain(value):
    """As it comes back from a file: tuples are lists there."""
    return json.loads(json.dumps(value))


def _spelled(value):
    return f"{value:.15g}" if isinstance(value, float) else "" if value is True else str(value)


def _flag(name):
    return f"--{name.replace('_', '-')}"


def _told(known, flag):
    return known[flag] if flag in known else "not used"


def plain_config(args):
    """The settings as builtins, so that a checkpoint loads with weights_only=True."""
    plain = int, float, str, list, bool, type(None)
    return {k: v if isinstance(v, plain) else str(v) for k, v in vars(args).items()}


class CsvLog:
    """One row an epoch, flushed; starts anew, or goes on after the last row of an earlier part, of
    which it keeps columns that are not known here."""

    def __init__(self, path, columns, last_row=None):
        self.path = Path(path)
        kept = self._rows_before(last_row["epoch"]) + [last_row] if last_row else []
        self.columns = list(dict.fromkeys([*columns, *(kept[0] if kept else ())]))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.path, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def _rows_before(self, epoch):
        """The rows of epochs 1 to epoch - 1. Raises: ValueError where the file was changed."""
        if epoch == 1:
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))[:epoch - 1]
            intact = [int(row["epoch"]) for row in rows] == list(range(1, epoch))
        except (OSError, ValueError, KeyError, TypeError):
            intact = False
        if not intact or None in rows[0]:
            raise ValueError(f"{self.path}: does not hold the epochs 1 to {epoch - 1} that "
                             "--resume goes on from; put the file back, or start anew without it")
        return rows

    def write(self, row):
        """Append a row: values by column; missing ones stay empty. Raises: ValueError for a column that is
        not among them."""
        unknown = [name for name in row if name not in self.columns]
        if unknown:
            raise ValueError(f"{self.path}: no column for {', '.join(unknown)}; columns are named in {__name__}")
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
