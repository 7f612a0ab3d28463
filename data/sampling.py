"""Which rows of a dataset are taken: samples, and what is held out."""

import numpy as np

from data.streams import rng


def stratified(labels, ratio, seed, spared=0, purpose="sample"):
    """Pick a share of every class: seeded, and a smaller ratio's rows are among a larger one's.

    Args: labels: int64 (N,). ratio: in (0, 1]; at least one image of every class is picked.
        spared: so many images of every class are not, whatever the ratio. purpose: the stream of
        data.streams that is drawn from.
    Returns: int64 row numbers, ascending.
    """
    if ratio == 1 and not spared:
        return np.arange(len(labels))
    order = rng(purpose, seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within each
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.arange(len(labels)) - np.repeat(starts, counts)
    kept = np.minimum(np.maximum(1, np.round(counts * ratio)), counts - spared).astype(int)
    return np.sort(order[place < np.repeat(kept, counts)])


def hold_out(labels, ratio, seed, checksums=None, rows=None):
    """Split rows into a training and a validation part, class by class; each class keeps at least
    one row to train on.

    Args: labels: int64 (N,). ratio: in [0, 1). checksums: int64 (N,) of the images: copies of one
        picture that were drawn and not drawn all go to the training part. rows: int64 (M,),
        ascending, those of the N that can be used, None for all. It is drawn from all N, so that
        an image that cannot be read changes nothing for the others.
    Returns: (training, validation), int64 positions in rows, ascending; no validation for ratio 0.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    if ratio == 0:
        return np.arange(len(rows)), np.arange(0)
    drawn = np.isin(rows, stratified(labels, ratio, seed, spared=1, purpose="hold-out"))
    drawn &= np.isin(labels[rows], labels[rows[~drawn]])  # what a class was to keep may not be read
    if checksums is not None:
        drawn &= ~np.isin(checksums[rows], checksums[rows[~drawn]])
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def draw_parts(labels, groups, val, test, seed=0):
    """Split images class by class into those to train, to choose and to test on.

    Args: labels: int64 (N,). groups: int64 (N,), equal for copies of one picture: all go to one
        part, counted for the class of the first. val, test: shares of the different pictures of a
        class, in (0, 1), or 0; each gets one at least, test before val, but the last one of a class
        is to train on.
    Returns: int64 (N,): 0 to train, 1 to choose, 2 to test on.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = rng("split", seed).permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    _, starts, counts = np.unique(labels[first][order], return_index=True, return_counts=True)
    place = np.arange(len(first)) - np.repeat(starts, counts)
    wanted = [np.maximum(1, np.round(counts * share)) if share else 0 * counts
              for share in (test, val)]
    tested = np.minimum(wanted[0], counts - 1)
    chosen = np.minimum(wanted[1], counts - 1 - tested)
    tested, ends = np.repeat(tested, counts), np.repeat(tested + chosen, counts)
    parts = np.empty(len(first), dtype=np.int64)
    parts[order] = np.where(place < tested, 2, np.where(place < ends, 1, 0))
    return parts[group]


def sample(labels, ratio, seed, left_out=None):
    """Rows to pre-train on: a share of every class, of what no training will hold out.

    Args: labels: int64 (N,); nothing is left out where one is -1. left_out: (ratio, seed) of
        `hold_out`, None for nothing. Its rows are left out as they are drawn, with or without
        copies: images that are not decoded have no checksums yet. What is held out in the end is
        among them, and has no copy elsewhere.
    Returns: int64 row numbers, ascending.
    """
    if left_out is None or not len(labels) or labels.min() < 0:
        return stratified(labels, ratio, seed)
    kept, _ = hold_out(labels, *left_out)
    return kept[stratified(labels[kept], ratio, seed)]
