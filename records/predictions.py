"""What a network took each test image for, and what each was: two small files that pairs of runs are
compared by, image by image."""

import os

import numpy as np

from records.files import whole
from records.setting import table


class Unfit(ValueError):
    """Predictions that are missing, or not those of the run beside them; the message says which."""


def predictions_path(csv):
    """The file of a run's predictions. Args: csv: Path of its CSV."""
    return csv.with_suffix(".predictions.npy")


def labels_path(folder, digest):
    """The file of a test part's labels, one for all runs that are tested on it.

    Args: digest: of the test part, as records.runs.Identity.data has it.
    """
    return folder / f"{digest}.labels.npy"


def write_predictions(csv, predicted, classes):
    """Write the predicted classes beside a run's CSV, whole or not at all.

    Args: predicted: integers (N,) in [0, classes), in the order of the test part. They are kept in
        the smallest unsigned type that holds `classes - 1`: uint8 up to 256 classes, then uint16.
    Raises: OSError.
    """
    with whole(predictions_path(csv), "wb") as file:
        np.save(file, np.asarray(predicted, _kind(classes)))


def write_labels(csv, digest, labels, classes):
    """Write the labels of a test part into the folder of a run's CSV, typed as predictions are. The
    class names and their order are part of the digest, so that equal digests have equal labels.

    Args: labels: integers (N,) in [0, classes), in the order of the test part. Raises: OSError.
    """
    own = csv.with_suffix(".labels.npy")  # runs side by side write the same file: each brings a copy
    csv.parent.mkdir(parents=True, exist_ok=True)
    with whole(own, "wb") as file:
        np.save(file, np.asarray(labels, _kind(classes)))
    os.replace(own, labels_path(csv.parent, digest))


def read_correct(csv, config, accuracy):
    """Which test images a run recognised at the epoch that validation chose.

    Args: config: of its YAML file. accuracy: its test accuracy in that epoch, a fraction; a file of
        another epoch, or of other images, does not agree with it.
    Returns: bool (N,). Raises: Unfit.
    """
    digest = table(config, "data").get("test")
    path = predictions_path(csv)
    if not path.is_file():
        raise Unfit("no predictions were kept")
    if not isinstance(digest, str) or not digest.isalnum():
        raise Unfit("its YAML file does not tell its test images")
    predicted, labels = _read(path), _read(labels_path(csv.parent, digest))
    if predicted is None or labels is None or len(predicted) != len(labels):
        raise Unfit("its predictions, or the labels of its test images, are damaged or missing")
    correct = predicted == labels
    if accuracy is None or abs(correct.mean() - accuracy) > 0.1 / len(correct):
        raise Unfit("its predictions are not of the epoch that validation chose")
    return correct


def _kind(classes):
    return np.min_scalar_type(max(0, classes - 1))


def _read(path):
    """Whole numbers (N,) of a file, N > 0, or None."""
    try:
        found = np.lib.format.open_memmap(path, "r")  # mapped: a size is no promise
        return np.array(found) if found.ndim == 1 and found.size and found.dtype.kind == "u" else None
    except (OSError, ValueError, EOFError):
        return None
