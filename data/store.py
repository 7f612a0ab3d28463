"""Decode once: a source's images as squares in a memory-mapped uint8 file that opens at once."""

import mmap
import os
import shutil
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import numpy as np

from data import store_files as files
from data.packing import CHUNK_ROWS, cores, pack, split
from data.pixels import in_words
from data.store_files import ABSENT, BAD, Store
from records.files import locked
from records.names import printable

__all__ = ["Store", "open_store", "read_ahead"]


class _Job(NamedTuple):
    folder: Path
    make_source: Callable
    size: int
    directories: Sequence
    choose: Callable
    workers: int
    max_bad: int
    say: Callable


def open_store(folder, make_source, size, *, directories, rows=None, workers=None,
               max_bad_images=0, say=partial(print, flush=True)):
    """Open a store, first decoding into it what is missing; may be killed, and called at once from
    many processes.

    Args:
        folder: where the store lives. size: px a side.
        make_source: () -> source (see data.sources), called only where the images must be listed:
            at first, after a change, and to decode more of them.
        directories: folders or files whose mtime tells that the source changed, besides those it
            names itself; with none of either it is listed each time. A file overwritten in place
            goes unnoticed.
        rows: the rows that must be packed: ints, a function labels -> ints, or None for all.
        workers: decoding processes, None for one a core.
        max_bad_images: so many unreadable images among the rows are skipped.
        say: called with each line of news.
    Returns: Store.
    Raises: ValueError for an unreadable image or a damaged store, OSError for an unwritable folder,
        a full disk or a killed worker, and what make_source raises.
    """
    job = _Job(Path(folder), make_source, size, tuple(directories), _chooser(rows),
               workers or cores(), max_bad_images, lambda line: say(printable(line)))
    store = _instant(job)
    if store is None:
        with locked(job.folder, job.say, "image store", "--store-dir"):
            store = _instant(job)  # another process may have packed it meanwhile
            if store is None:
                store = files.load(job.folder, _complete(job))
    skipped = int((files.checksums(job.folder)[job.choose(store.labels)] == BAD).sum())
    if skipped:
        job.say(f"{folder}: {skipped} unreadable images are left out, listed in its bad.txt")
    return store


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


def _instant(job):
    """The store if it is whole as it lies there, or None."""
    meta = files.read_meta(job.folder, job.size)
    if meta is None or not meta["finished"] or meta["marks"] != files.marks(job.folder):
        return None
    if not _unchanged(meta, job.directories):
        return None
    store = files.load(job.folder, meta)
    return None if len(_missing(job, meta, store.labels)) else store


def _complete(job):
    """List, check and decode whatever keeps the store from being whole. Returns its meta."""
    meta, source = files.read_meta(job.folder, job.size), None
    if meta is None or not _unchanged(meta, job.directories):
        meta, source = _list(job, meta)
    if meta["marks"] != files.marks(job.folder):
        _verify(job, meta)
    todo = _missing(job, meta, np.load(job.folder / "labels.npy"))
    if len(todo) and source is None:
        meta, source = _list(job, meta)
        todo = _missing(job, meta, source.labels)
    if len(todo):
        _check_disk(job, len(todo))
        meta = {**meta, "finished": False, "marks": None}
        files.write_meta(job.folder, meta)
        try:
            _pack(job, source, todo)
        except ValueError:  # an orderly end: the next start need not check what is packed
            _close(job.folder, meta)
            raise
    return _close(job.folder, {**meta, "finished": True})


def _close(folder, meta):
    files.sync(folder)
    meta = {**meta, "marks": files.marks(folder)}
    files.write_meta(folder, meta)
    return meta


def _list(job, meta):
    """List the source and start anew unless the store was made from this very listing.

    Returns: (meta, source).
    """
    before = files.mtimes(job.directories)
    source = job.make_source()
    said = meta.get("remark") if meta else None
    if meta is None or meta["fingerprint"] != source.fingerprint:
        if meta is not None:
            job.say(f"{job.folder}: the images have changed since they were packed; packing anew")
        meta = _create(job, source)
    if source.remark and source.remark != said:
        job.say(source.remark)
    meta["remark"] = source.remark
    now = files.mtimes(job.directories)  # a download has made what was not there before
    watched = {path: now[path] if mtime is None else mtime for path, mtime in before.items()}
    own = os.path.abspath(job.folder)  # changes with every packing where it lies among the images
    meta["watched"] = {path: mtime for path, mtime in {**watched, **source.watched}.items()
                       if not (path + os.sep).startswith(own + os.sep)}
    files.write_meta(job.folder, meta)
    return meta, source


def _create(job, source):
    """Start the store anew where the disk has room for it. Returns its meta."""
    old = job.folder / "images.npy"
    freed = getattr(old.stat(), "st_blocks", 0) * 512 if old.exists() else 0
    _check_disk(job, len(job.choose(source.labels)), freed)
    files.create(job.folder, source.labels, job.size)
    return {"size": job.size, "fingerprint": source.fingerprint, "classes": list(source.classes),
            "labels_crc32": zlib.crc32(source.labels), "finished": False, "marks": None}


def _verify(job, meta):
    """Check every packed row. Where packing was cut short, rows that do not match are forgotten.

    Raises: ValueError for any damage to a finished store.
    """
    hint = f"delete {job.folder} to pack it again"
    try:
        store, checksums = files.load(job.folder, meta), files.checksums(job.folder, "r+")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{job.folder}: damaged store ({error}); {hint}") from error
    rows = np.flatnonzero(store.present)
    if len(rows):
        job.say(f"{job.folder}: checking {len(rows)} images against their checksums")
    if zlib.crc32(store.labels) != meta["labels_crc32"]:
        raise ValueError(f"{job.folder / 'labels.npy'}: does not match its checksum; {hint}")
    wrong = _mismatches(store.images, checksums, rows, job.workers)
    if wrong and meta["finished"]:
        raise ValueError(f"{job.folder / 'images.npy'}: image {wrong[0]} does not match its "
                         f"checksum; {hint}")
    checksums[wrong] = ABSENT
    checksums.flush()


def _mismatches(images, checksums, rows, workers):
    images = np.asarray(images)  # a plain view is indexed faster than a memory map

    def check(chunk):
        return [row for row in chunk.tolist() if zlib.crc32(images[row]) != checksums[row]]

    with ThreadPoolExecutor(workers) as pool:
        return [row for found in pool.map(check, split(rows, CHUNK_ROWS)) for row in found]


def _pack(job, source, todo):
    """Decode rows into images.npy; checksums.npy says how far it is.

    Raises: ValueError for more unreadable images than may be skipped, OSError.
    """
    folder, checksums, failures = job.folder, files.checksums(job.folder, "r+"), {}
    scales = Counter()
    already = np.setdiff1d(job.choose(source.labels), todo)
    allowed = job.max_bad - int((checksums[already] == BAD).sum())
    job.say(f"{folder}: decoding {len(todo)} images to {job.size} px, "
            f"{_bytes(job, len(todo)) / 1e9:.2f} GB")

    def done(rows, checks, failed, scaled):
        failures.update(failed)
        scales.update(scaled)
        if len(failures) > allowed:
            raise ValueError(_too_many_bad(failures, job.max_bad))
        checksums[rows] = checks

    pack(folder / "images.npy", source, job.size, todo, job.workers, done, job.say)
    checksums.flush()
    if scales:
        job.say(f"{folder}: {in_words(scales)}")
    for message in failures.values():
        job.say(f"skipped {message}")
    _list_failures(folder, checksums, failures)


def _too_many_bad(failures, max_bad):
    first = next(iter(failures.values()))
    if max_bad == 0:
        return f"{first}; repair or remove it, or skip such images with --max-bad-images"
    return f"{first}; more images than --max-bad-images {max_bad} are unreadable"


def _list_failures(folder, checksums, failures):
    """Bring bad.txt up to date: row, tab, message."""
    path, messages = folder / "bad.txt", dict(failures)
    with files.writing(folder):
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            row, tab, message = line.partition("\t")
            if tab and row.isdecimal():
                messages.setdefault(int(row), message)
        path.unlink(missing_ok=True)
        lines = [f"{row}\t{messages[row]}\n" for row in sorted(messages) if checksums[row] == BAD]
        if lines:
            path.write_text("".join(lines), "utf-8", "backslashreplace")


def _missing(job, meta, labels):
    """The wanted rows to decode: absent ones, and bad ones where packing was cut short or where
    more are bad than may be skipped."""
    wanted = job.choose(labels)
    checks = files.checksums(job.folder)[wanted]
    bad = checks == BAD
    retry = not meta["finished"] or bad.sum() > job.max_bad
    return wanted[(checks == ABSENT) | (bad & retry)]


def _chooser(rows):
    """A function labels -> ascending rows, which works them out once for the same labels."""
    known = {}

    def choose(labels):
        key = zlib.crc32(labels)
        if key not in known:
            known[key] = _ascending(rows(labels) if callable(rows) else rows, len(labels))
        return known[key]

    return choose


def _ascending(rows, count):
    if rows is None:
        return np.arange(count)
    rows = np.unique(np.asarray(rows, dtype=np.int64))
    if len(rows) and not 0 <= rows[0] <= rows[-1] < count:
        raise ValueError(f"rows {rows[0]} to {rows[-1]} asked of {count} images")
    return rows


def _unchanged(meta, directories):
    watched = meta["watched"]
    named = all(os.path.abspath(path) in watched for path in directories)
    there = bool(watched) and None not in watched.values()
    return there and named and files.mtimes(watched) == watched


def _bytes(job, count):
    return count * job.size * job.size * 3


def _check_disk(job, count, freed=0):
    need, free = _bytes(job, count), shutil.disk_usage(job.folder).free + freed
    if need > free:
        raise OSError(f"{job.folder}: {count} images of {job.size} px need {need / 1e9:.2f} GB, "
                      f"{free / 1e9:.2f} GB are free; make room, name another disk with "
                      "--store-dir, or choose a smaller --image-size or --sample-ratio")
