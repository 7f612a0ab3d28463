"""Decode once: a source's images as squares in a memory-mapped uint8 file that opens at once."""

import shutil
import zlib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import numpy as np

from data import changes
from data import store_files as files
from data.packing import cores, pack
from data.pixels import in_words
from data.store_check import check
from data.store_files import ABSENT, BAD, CONTENT, Store, read_ahead
from records.files import locked
from records.names import printable

__all__ = ["Store", "open_store", "read_ahead"]


class _Job(NamedTuple):
    folder: Path
    make_source: Callable
    size: int
    watched: Sequence
    choose: Callable
    workers: int
    max_bad: int
    say: Callable


def open_store(folder, make_source, size, *, watched=(), rows=None, workers=None,
               max_bad_images=0, say=partial(print, flush=True)):
    """Open a store, first decoding into it what is missing or has changed; may be killed, and
    called at once from many processes.

    Args:
        folder: where the store lives. size: px a side.
        make_source: () -> source (see data.sources), which lists the images. Files are listed at
            each start: labels are those of their folders now, and those whose content is packed
            already are not decoded anew, whatever they are called.
        watched: paths whose size or mtime tells that a source has changed whose images are no
            files (an archive); it is listed only then, and to decode more of it.
        rows: the rows that must be packed: ints, a function labels -> ints, or None for all.
        workers: decoding processes, None for one a core.
        max_bad_images: so many unreadable images among the rows are skipped.
        say: called with each line of news.
    Returns: Store.
    Raises: ValueError for an unreadable image or a damaged store, OSError for an unwritable folder,
        a full disk or a killed worker, and what make_source raises.
    """
    job = _Job(Path(folder), make_source, size, tuple(watched), _chooser(rows),
               workers or cores(), max_bad_images, lambda line: say(printable(line)))
    store, settled = _instant(job)
    if not settled:
        try:
            with locked(job.folder, job.say, "image store", "--store-dir"):
                store = files.load(job.folder, _complete(job))
        except OSError:
            if store is None:
                raise  # elsewhere nothing is lost but a note that spares the next start a look
    skipped = int((files.checksums(job.folder)[job.choose(store.labels)] == BAD).sum())
    if skipped:
        job.say(f"{folder}: {skipped} unreadable images are left out, listed in its bad.txt")
    return store


def _instant(job):
    """(The store if it is whole as it lies there, else None; whether nothing is to be written.)"""
    meta = files.read_meta(job.folder, job.size)
    if meta is None or not meta["finished"] or meta["marks"] != files.marks(job.folder):
        return None, False
    source = None if job.watched else job.make_source()
    try:
        return _whole(job, meta, source)
    except (OSError, ValueError):  # another process puts other files into their place
        return None, False


def _whole(job, meta, source):
    """As `_instant`. Args: source: what is listed now, None where the watched paths tell it."""
    if source is None:
        same, settled = _unwatched(job, meta), True
    else:
        same, doubts = _same_files(job, meta, source)
        same = same and not _outdated(meta, source)
        settled = not doubts and meta["remark"] == source.remark
    store = files.load(job.folder, meta)
    untouched = meta["marks"] == files.marks(job.folder)
    if same and untouched and not len(_missing(job, meta, store.labels)):
        return store, settled
    return None, False


def _complete(job):
    """List, check and decode whatever keeps the store from being whole. Returns its meta."""
    files.take_over(job.folder)
    meta, source = files.read_meta(job.folder, job.size), None
    if meta is not None and meta["marks"] != files.marks(job.folder):
        check(job.folder, meta, job.workers, job.say)
    if meta is None or not job.watched or not _unwatched(job, meta):
        meta, source = _list(job, meta)
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
    """List the source and make the store one of what is there now. Returns: (meta, source)."""
    before = files.states(job.watched)
    source = job.make_source()
    said = meta["remark"] if meta else None
    if meta is None or _outdated(meta, source):
        if (job.folder / files.META).exists():
            job.say(f"{job.folder}: made by another version of this program, or its meta.json is "
                    "damaged; packing anew")
        meta = _create(job, source)
    elif not _same_files(job, meta, source)[0]:
        meta = _renew(job, meta, source)
    if source.remark and source.remark != said:
        job.say(source.remark)
    now = files.states(job.watched)  # a download has made what was not there before
    watched = {path: now[path] if state is None else state for path, state in before.items()}
    meta = {**meta, "remark": source.remark, "listed_ns": source.listed_ns, "watched": watched}
    files.write_meta(job.folder, meta)
    return meta, source


def _outdated(meta, source):
    """Whether some of its images may have been decoded otherwise than now."""
    names = getattr(source, "files", ())
    return meta["version"] == files.BEFORE_TURNED_TIFFS and any(
        name.lower().endswith((".tif", ".tiff")) for name in names)


def _unwatched(job, meta):
    """Whether nothing has happened to the watched paths since the source was listed."""
    return None not in meta["watched"].values() and files.states(job.watched) == meta["watched"]


def _same_files(job, meta, source):
    """(Whether a listing is that which the store was made from; whether content told it.)"""
    keys = files.file_keys(job.folder)
    if meta["fingerprint"] != source.fingerprint or \
            not np.array_equal(keys[:, :CONTENT], source.keys):
        return False, False
    rows = changes.doubtful(keys, files.checksums(job.folder), meta["listed_ns"])
    return changes.same_contents(source, keys, rows, job.workers, job.say), bool(len(rows))


def _create(job, source):
    """Start the store anew where the disk has room for it. Returns its meta."""
    old = job.folder / "images.npy"
    freed = getattr(old.stat(), "st_blocks", 0) * 512 if old.exists() else 0
    _check_disk(job, len(job.choose(source.labels)), freed)
    files.create(job.folder, source.labels, source.keys, job.size)
    return _new_meta(job, source)


def _new_meta(job, source):
    return {"size": job.size, "fingerprint": source.fingerprint, "classes": list(source.classes),
            "labels_crc32": zlib.crc32(source.labels), "finished": False, "marks": None,
            "remark": source.remark, "listed_ns": source.listed_ns, "watched": {}}


def _renew(job, meta, source):
    """Bring the store up to date; only what it does not hold is left to decode. Returns its meta.

    Where the disk has no room for both, it is started anew.
    """
    keys, checks = np.array(files.file_keys(job.folder)), np.array(files.checksums(job.folder))
    origin = changes.origins(source, keys, checks, meta["listed_ns"], job.workers, job.say)
    labels = np.load(job.folder / "labels.npy")
    job.say(f"{job.folder}: "
            f"{changes.in_words(origin, len(labels), labels, meta['classes'], source)}")
    copied = int(((origin >= 0) & (checks[origin] >= 0)).sum())
    if not files.in_place(origin, len(checks)) and _bytes(job, copied) > _free(job):
        job.say(f"{job.folder}: no room for a copy of {copied} images; packing anew")
        return _create(job, source)
    return files.renew(job.folder, _new_meta(job, source), source.labels, source.keys, origin)


def _pack(job, source, todo):
    """Decode rows into images.npy; checksums.npy says how far it is.

    Raises: ValueError for more unreadable images than may be skipped, OSError.
    """
    folder, checksums, failures = job.folder, files.checksums(job.folder, "r+"), {}
    keys, scales = files.file_keys(folder, "r+"), Counter()
    already = np.setdiff1d(job.choose(source.labels), todo)
    allowed = job.max_bad - int((checksums[already] == BAD).sum())
    job.say(f"{folder}: decoding {len(todo)} images to {job.size} px, "
            f"{_bytes(job, len(todo)) / 1e9:.2f} GB")

    def done(rows, checks, contents, failed, scaled):
        failures.update(failed)
        scales.update(scaled)
        if len(failures) > allowed:
            raise ValueError(_too_many_bad(failures, job.max_bad))
        keys[rows, CONTENT] = contents
        checksums[rows] = checks

    pack(folder / "images.npy", source, job.size, todo, job.workers, done, job.say)
    for array in (keys, checksums):
        array.flush()
    if scales:
        job.say(f"{folder}: {in_words(scales)}")
    for message in failures.values():
        job.say(f"skipped {message}")
    files.list_failures(folder, checksums, failures)


def _too_many_bad(failures, max_bad):
    first = next(iter(failures.values()))
    if max_bad == 0:
        return f"{first}; repair or remove it, or skip such images with --max-bad-images"
    return f"{first}; more images than --max-bad-images {max_bad} are unreadable"


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
    rows = np.asarray(rows, dtype=np.int64)
    if not (np.diff(rows) > 0).all():
        rows = np.unique(rows)
    if len(rows) and not 0 <= rows[0] <= rows[-1] < count:
        raise ValueError(f"rows {rows[0]} to {rows[-1]} asked of {count} images")
    return rows


def _bytes(job, count):
    return count * job.size * job.size * 3


def _free(job):
    return shutil.disk_usage(job.folder).free


def _check_disk(job, count, freed=0):
    need, free = _bytes(job, count), _free(job) + freed
    if need > free:
        raise OSError(f"{job.folder}: {count} images of {job.size} px need {need / 1e9:.2f} GB, "
                      f"{free / 1e9:.2f} GB are free; make room, name another disk with "
                      "--store-dir, or choose a smaller --image-size or --sample-ratio")
