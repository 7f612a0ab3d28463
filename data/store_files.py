"""The files of an image store: read, written whole or not at all, marked, exchanged for others."""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
from functools import partial
from typing import NamedTuple

import numpy as np

from data.listing import INODE, SIZE, UNKNOWN
from records.files import whole, writing

VERSION = 5  # of the layout and of what decoding makes of an image
BEFORE_TURNED_TIFFS = 4  # decoded TIFFs that EXIF turns otherwise, all else as now
ABSENT, BAD = -1, -2  # in checksums.npy: not packed, not readable; others are >= 0
NAMES = ("images.npy", "labels.npy", "checksums.npy", "keys.npy")
META = "meta.json"
NEXT = "next"  # folder in the store's, with the files that are to take the place of its own
# Last column of keys.npy, behind the keys: what its source calls the content of a packed image
CONTENT = INODE + 1
writing = partial(writing, what="image store", flag="--store-dir")


class Store(NamedTuple):
    """images: uint8 (N, S, S, 3) memory map, read-only; labels: int64 (N,), -1 for none;
    classes: names by label; present: bool (N,), which rows are packed (the others are black);
    checksums: int64 (N,) memory map, `checksum` of each packed image; contents: int64 (N,), size
    (bytes) << 32 | crc32 of each packed file, -1 where that is not known."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple
    present: np.ndarray
    checksums: np.ndarray
    contents: np.ndarray


def checksum(image):
    """63 bits of BLAKE2b of an image's bytes, an int >= 0: crc32 would find copies by chance among
    60,000 times 50,000 pairs. Args: image: contiguous uint8 array."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "little") >> 1


def create(folder, labels, keys, size):
    """Lay out an empty store in place of whatever is there; images.npy is sparse."""
    with writing(folder):
        for name in (META, "bad.txt", *NAMES):
            (folder / name).unlink(missing_ok=True)
        shape = (len(labels), size, size, 3)
        np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
        _save_rows(folder, labels, keys, np.full(len(labels), ABSENT))
    sync(folder)


def _save_rows(folder, labels, keys, checks, contents=None):
    contents = np.full(len(labels), UNKNOWN) if contents is None else contents
    np.save(folder / "labels.npy", labels)
    np.save(folder / "checksums.npy", checks.astype(np.int64))
    np.save(folder / "keys.npy", np.column_stack([keys, contents]).astype(np.int64))


def renew(folder, meta, labels, keys, origin):
    """Make a store of other rows, those that this one has among them, and put it in its place.

    It is made in a folder of its own and counts once its meta.json is there: killed before, nothing
    has happened; killed after, `take_over` goes on.

    Args: meta: of the new store. labels, keys: of its images. origin: int64 (N,), the row that each
        has in this store, -1 for none. Where all keep their rows, images.npy stays as it is.
    Returns: meta, as it was written.
    """
    new, old = folder / NEXT, checksums(folder)
    there = (origin >= 0) & (old[origin] >= 0)
    with writing(folder):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        _save_rows(new, labels, keys, np.where(there, old[origin], ABSENT),
                   np.where(there, file_keys(folder)[origin, CONTENT], UNKNOWN))
        if not in_place(origin, len(old)):
            _copy_images(folder / "images.npy", new / "images.npy", origin, there)
    sync(new)
    write_meta(new, {**meta, "marks": None})
    take_over(folder)
    meta = {**meta, "marks": marks(folder)}
    write_meta(folder, meta)
    return meta


def in_place(origin, count):
    """Whether each of a store's rows stays where it is."""
    return np.array_equal(origin, np.arange(count))


def _copy_images(path, new, origin, there):
    images = np.asarray(np.load(path, mmap_mode="r"))
    shape = (len(origin), *images.shape[1:])
    start = np.lib.format.open_memmap(new, "w+", np.uint8, shape).offset
    with open(new, "rb+") as file:  # not a mapping: a full disk is an error here, a SIGBUS there
        for row in np.flatnonzero(there).tolist():
            file.seek(start + row * images[0].nbytes)
            file.write(images[origin[row]])


def take_over(folder):
    """Let the files in next/ take the place of the store's where they are complete, meta.json as
    the last; throw them away elsewhere. What a killed process began is brought to its end."""
    new = folder / NEXT
    if not new.exists():
        return
    with writing(folder):
        if (new / META).exists():
            (folder / "bad.txt").unlink(missing_ok=True)
            for name in (*NAMES, META):
                if (new / name).exists():
                    os.replace(new / name, folder / name)
        shutil.rmtree(new)


def load(folder, meta):
    """Returns: Store. Raises: OSError or ValueError if its files are damaged."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels, checks = np.load(folder / "labels.npy"), checksums(folder)
    present, size = np.asarray(checks >= 0), meta["size"]
    keys = np.asarray(file_keys(folder))
    shapes = images.shape, present.shape, keys.shape
    if shapes != ((len(labels), size, size, 3), labels.shape, (len(labels), CONTENT + 1)):
        raise ValueError(f"labels {labels.shape}; images, checksums, keys {shapes}")
    return Store(images, labels, tuple(meta["classes"]), present, checks, fingerprints(keys))


def fingerprints(keys):
    """int64 (N,), as Store.contents; -1 also for empty files and those of 2 GiB and more.

    Args: keys: int64 (N, 5), as from `file_keys`; without a key CONTENT is all of it.
    """
    size, content = keys[:, SIZE], keys[:, CONTENT]
    return np.where(size == UNKNOWN, content, fingerprint(size, content))


def fingerprint(size, content):
    """As an item of `fingerprints`, of a file's bytes and their crc32."""
    known = (size > 0) & (size < 2 ** 31) & (content >= 0)
    return np.where(known, size << 32 | content, -1)


def checksums(folder, mode="r"):
    """int64 (N,) memory map: the `checksum` of each image, ABSENT or BAD."""
    return np.load(folder / "checksums.npy", mmap_mode=mode)


def file_keys(folder, mode="r"):
    """int64 (N, 5) memory map: each file's key (see data.listing) and CONTENT."""
    return np.load(folder / "keys.npy", mmap_mode=mode)


def read_meta(folder, size):
    """The dict in meta.json, None where there is none for this size and version, or the one before."""
    try:
        meta = json.loads((folder / META).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(meta, dict) and meta.get("size") == size
    return meta if fits and meta.get("version") in (BEFORE_TURNED_TIFFS, VERSION) else None


def write_meta(folder, meta):
    """Write meta.json whole or not at all."""
    with writing(folder), whole(folder / META, encoding="utf-8") as file:
        json.dump({"version": VERSION, **meta}, file)


def marks(folder):
    """[bytes, mtime_ns] of each file: as long as they stay, nobody has touched it."""
    found = list(states(folder / name for name in NAMES).values())
    return [] if None in found else found


def states(paths):
    """{absolute path: [bytes, mtime_ns], None where there is nothing}."""
    found = dict.fromkeys(os.path.abspath(path) for path in paths)
    for path in found:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            found[path] = [status.st_size, status.st_mtime_ns]
    return found


def sync(folder):
    """Bring what was written onto the disk."""
    with writing(folder):
        for path in (folder / name for name in NAMES):
            if path.exists():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())


def list_failures(folder, checksums, failures):
    """Bring bad.txt up to date: row, tab, message. Args: failures: {row: message} of new ones."""
    path, messages = folder / "bad.txt", dict(failures)
    with writing(folder):
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            row, tab, message = line.partition("\t")
            if tab and row.isdecimal():
                messages.setdefault(int(row), message)
        path.unlink(missing_ok=True)
        lines = [f"{row}\t{messages[row]}\n" for row in sorted(messages) if checksums[row] == BAD]
        if lines:
            path.write_text("".join(lines), "utf-8", "backslashreplace")


def read_ahead(images, indices):
    """Have the system load some images' pages together, not at one page fault after the other.

    Args: images: memory map as in Store or a slice of it; nothing happens for other arrays.
        indices: non-negative ints.
    """
    mapped = getattr(images, "_mmap", None)
    if mapped is None or not hasattr(mapped, "madvise") or not images.size:
        return
    start = images.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    stride, length = images.strides[0], images[:1].nbytes
    for index in np.asarray(indices).tolist():
        first = start + index * stride
        aligned = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, aligned, first + length - aligned)
