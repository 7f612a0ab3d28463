"""Check what a store holds against its checksums."""

import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data import store_files as files
from data.packing import CHUNK_ROWS, split
from data.store_files import ABSENT


def check(folder, meta, workers, say):
    """Check every packed row. Where packing was cut short, rows that do not match are forgotten.

    Args: meta: of the store. workers: threads. say: called with a line where there are rows.
    Raises: ValueError for any damage to a finished store.
    """
    hint = f"delete {folder} to pack it again"
    try:
        store, checksums = files.load(folder, meta), files.checksums(folder, "r+")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: damaged store ({error}); {hint}") from error
    rows = np.flatnonzero(store.present)
    if len(rows):
        say(f"{folder}: checking {len(rows)} images against their checksums")
    if zlib.crc32(store.labels) != meta["labels_crc32"]:
        raise ValueError(f"{folder / 'labels.npy'}: does not match its checksum; {hint}")
    wrong = _mismatches(store.images, checksums, rows, workers)
    if wrong and meta["finished"]:
        raise ValueError(f"{folder / 'images.npy'}: image {wrong[0]} does not match its "
                         f"checksum; {hint}")
    checksums[wrong] = ABSENT
    checksums.flush()


def _mismatches(images, checksums, rows, workers):
    images = np.asarray(images)  # a plain view is indexed faster than a memory map

    def check(chunk):
        return [row for row in chunk.tolist() if files.checksum(images[row]) != checksums[row]]

    with ThreadPoolExecutor(workers) as pool:
        return [row for found in pool.map(check, split(rows, CHUNK_ROWS)) for row in found]
