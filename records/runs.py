"""What a run is: its name, its settings, and the CSV with a row an epoch."""

import csv
from pathlib import Path

from conf import global_settings as settings
from records.files import whole

TRAIN_COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss",
                 "val_accuracy", "test_loss", "test_accuracy", "test_top5_accuracy",
                 "images_per_second", "seconds")
PRETRAIN_COLUMNS = ("epoch", "learning_rate", "loss", "contrast_accuracy", "knn_accuracy",
                    "images_per_second", "seconds")


def run_name(data, optimizer, lr, batch_size, ratio=None, labels=1.0, seed=0, source=None):
    """The folder and file name of a run: equal settings give equal names, others others.

    Args: ratio, source: sample ratio and dataset of the pre-training it starts from; without a
        ratio there is none of ours, without a source it is the usual one.
    Raises: ValueError for a source that is no name of a dataset: it comes from a file of weights.
    """
    source = source or settings.PRETRAINING_DATA
    if not str(source).isidentifier():
        raise ValueError(f"weights pre-trained on {source!r}: no name of a dataset")
    name = f"{data}-{optimizer}-lr{lr:.15g}-bs{batch_size}"
    if ratio is not None:
        name += f"-from{source}" if source != settings.PRETRAINING_DATA else ""
        name += f"-ratio{ratio:.15g}"
    name += f"-labels{labels:.15g}" if labels != 1 else ""
    return name + (f"-seed{seed}" if seed else "")


def check_resume(state, args, resumable):
    """Compare the settings of a checkpoint's run with those of this one.

    Args: resumable: names of settings that may differ.
    Raises: ValueError naming the others that do.
    """
    old = state.get("config", {})
    wrong = [f"--{k.replace('_', '-')} was {old[k]} and is {v}" for k, v in vars(args).items()
             if k in old and k not in resumable and old[k] != v and str(old[k]) != str(v)]
    if wrong:
        raise ValueError("cannot resume with other settings: " + "; ".join(wrong))


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
        """Append a row: values by column; missing ones stay empty."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
