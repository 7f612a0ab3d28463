"""scikit-learn's 1797 scanned digits, which need no download."""

import numpy as np

from data.sampling import stratified
from data.store_files import checksum
from data.streams import rng

TRAIN_PER_CLASS = 40  # labelled images; the others of the task's classes are to test on


def read_digits(split, size, ratio, seed):
    """0-4 to pre-train on, 5-9 with few labels for the task.

    Args: as of data.datasets.load_split, and the split "pretrain", "train" or "test".
    Returns: what data.datasets.Split begins with, from images to contents.
    """
    from PIL import Image
    from sklearn.datasets import load_digits
    digits = load_digits()
    wanted = digits.target < 5 if split == "pretrain" else digits.target >= 5
    grey, labels = digits.images[wanted], digits.target[wanted].astype(np.int64)
    first = labels.min()
    labels, classes = labels - first, tuple(str(first + k) for k in range(5))
    rows = np.arange(len(labels))
    if split != "pretrain":
        # drawn at random, since the file is ordered by writer
        order = rng("digits", 0).permutation(len(labels))
        few = np.concatenate([order[labels[order] == k][:TRAIN_PER_CLASS] for k in range(5)])
        rows = np.flatnonzero(np.isin(rows, few) == (split == "train"))
    grey = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in grey]
    scaled = [image.resize((size, size), Image.Resampling.BICUBIC) for image in grey]
    images = np.repeat(np.stack(scaled)[..., None], 3, axis=3)
    checksums = np.array([checksum(image) for image in images])
    rows = rows[stratified(labels[rows], ratio, seed)]
    return images, labels, classes, rows, checksums, np.full(len(labels), -1)
