"""Images without labels beside those of a dataset, for pre-training on both."""

import os
import zlib
from pathlib import Path

import numpy as np

from data.datasets import Split
from data.own import pile, stores_of
from data.sampling import stratified
from data.store import open_store, read_ahead


def load_unlabelled(folder, data_dir, size, ratio=1.0, seed=0, workers=None, max_bad_images=0,
                    store_dir=None):
    """Open all images below a folder, without labels; their store is among those of data_dir.

    Args: as for `load_split`. Returns: Split. Raises: as `load_split`.
    """
    place = os.path.realpath(folder)
    stores = stores_of(data_dir, store_dir)
    store = open_store(stores / f"unlabelled-{zlib.crc32(os.fsencode(place)):08x}-{size}px",
                       lambda: pile(Path(folder), stores), size, workers=workers,
                       rows=lambda labels: stratified(labels, ratio, seed),
                       max_bad_images=max_bad_images)
    rows = stratified(store.labels, ratio, seed)
    return Split(store.images, store.labels, (), rows[store.present[rows]], store.checksums,
                 store.contents)


def joined(one, other):
    """A Split of the images of two that are stored at one size, with the class names of the first.

    Their stores stay what they are: nothing is copied.
    """
    count = len(one.labels)
    pools = [np.arange(len(split.labels)) if split.pool is None else split.pool
             for split in (one, other)]
    together = [np.concatenate([mine, theirs]) for mine, theirs in (
        (one.labels, other.labels), (one.checksums, other.checksums),
        (one.contents, other.contents), (one.rows, other.rows + count),
        (pools[0], pools[1] + count))]
    labels, checksums, contents, rows, pool = together
    return Split(Joined(one.images, other.images), labels, one.classes, rows, checksums, contents,
                 pool=pool)


class Joined:
    """Two arrays of images of one shape, one after the other: picked by rows as one array is."""

    def __init__(self, one, other):
        self._parts, self._edge = (one, other), len(one)
        self.shape, self.dtype = (len(one) + len(other), *one.shape[1:]), one.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Args: rows: int64 (n,). Returns: array (n, H, H, 3)."""
        rows = np.asarray(rows)
        found = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        later = rows >= self._edge
        for part, chosen, start in zip(self._parts, (~later, later), (0, self._edge)):
            places = rows[chosen] - start
            read_ahead(part, places)
            found[chosen] = part[places]
        return found
