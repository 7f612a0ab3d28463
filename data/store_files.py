"""The files of an image store: read, written whole or not at all, marked."""

import contextlib
import json
import os
from functools import partial
from typing import NamedTuple

import numpy as np

from records.files import whole, writing

VERSION = 2  # of the layout and of what decoding makes of an image
ABSENT, BAD = -1, -2  # in checksums.npy: not packed, not readable; others are crc32 values >= 0
NAMES = ("images.npy", "labels.npy", "checksums.npy")
writing = partial(writing, what="image store", flag="--store-dir")


class Store(NamedTuple):
    """images: uint8 (N, S, S, 3) memory map, read-only; labels: int64 (N,), -1 for none;
    classes: names by label; present: bool (N,), which rows are packed (the others are black);
    checksums: int64 (N,) memory map, crc32 of each packed image's bytes."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple
    present: np.ndarray
    checksums: np.ndarray


def create(folder, labels, size):
    """Lay out an empty store in place of whatever is there; images.npy is sparse."""
    with writing(folder):
        for name in ("meta.json", "bad.txt", *NAMES):
            (folder / name).unlink(missing_ok=True)
        shape = (len(labels), size, size, 3)
        np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
        np.save(folder / "labels.npy", labels)
        np.save(folder / "checksums.npy", np.full(len(labels), ABSENT, dtype=np.int64))
    sync(folder)


def load(folder, meta):
    """Returns: Store. Raises: OSError or ValueError if its files are damaged."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels, checks = np.load(folder / "labels.npy"), checksums(folder)
    present, size = np.asarray(checks >= 0), meta["size"]
    if images.shape != (len(labels), size, size, 3) or present.shape != labels.shape:
        raise ValueError(f"images {images.shape}, labels {labels.shape}, checksums {present.shape}")
    return Store(images, labels, tuple(meta["classes"]), present, checks)


def checksums(folder, mode="r"):
    """int64 (N,) memory map: the crc32 of each image's bytes, ABSENT or BAD."""
    return np.load(folder / "checksums.npy", mmap_mode=mode)


def read_meta(folder, size):
    """The dict in meta.json, None where there is none for this size and version."""
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(meta, dict) and (meta.get("version"), meta.get("size")) == (VERSION, size)
    return meta if fits else None


def write_meta(folder, meta):
    """Write meta.json whole or not at all."""
    with writing(folder), whole(folder / "meta.json", encoding="utf-8") as file:
        json.dump({"version": VERSION, **meta}, file)


def marks(folder):
    """[bytes, mtime_ns] of each file: as long as they stay, nobody has touched it."""
    if not all((folder / name).exists() for name in NAMES):
        return []
    found = [os.stat(folder / name) for name in NAMES]
    return [[status.st_size, status.st_mtime_ns] for status in found]


def mtimes(paths):
    """{absolute path: mtime_ns, None where there is nothing}."""
    found = dict.fromkeys(os.path.abspath(path) for path in paths)
    for path in found:
        with contextlib.suppress(OSError):
            found[path] = os.stat(path).st_mtime_ns
    return found


def sync(folder):
    """Bring what was written onto the disk."""
    with writing(folder):
        for name in NAMES:
            with open(folder / name, "rb+") as file:
                os.fsync(file.fileno())
