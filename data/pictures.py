"""Somebody's pictures: named, in folders or in lists, decoded in their order by worker processes."""

import errno
import itertools
import os
import warnings
from array import array
from collections import Counter, deque
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from data.listing import Walk, formats
from data.lists import (FILE_TITLES, check_alone, check_list, column_of, delimiter_of, is_list,
                        open_list, rows_of, spelled, unnamed)
from data.packing import cores, start_pool
from data.pixels import in_words
from data.sources import decode_and_scale
from records.names import printable

CHUNK = 32  # pictures that a process decodes at once


class Picture(NamedTuple):
    """name: as it was given. image: uint8 (size, size, 3), None for a broken one. reason: what is
    wrong with it, "" for nothing. scale: that of its values in words where they were not 8 bits each."""

    name: str
    image: Optional[np.ndarray]
    reason: str
    scale: Optional[str] = None


def pictures(given, say=print):
    """Find pictures, folder by folder and line by line: what is held in memory are the names of one
    folder, not those of all.

    A name in a list counts from the working folder or, where there is no such file, from the
    list's.
    Args: given: names of pictures, folders (any depth, hidden files left out) and lists: a name a
        line (.txt), or a column called file, else the first (.csv, .tsv). say: called with a line
        about what of a folder is left out.
    Yields: (name as given, path).
    Folders that cannot be listed are among them. Raises: ValueError for an unreadable list.
    """
    for name in given:
        if is_list(name):
            check_list(name)
    for name in given:
        if os.path.isdir(name):
            yield from _below(name, say)
        elif is_list(name):
            yield from _listed(name)
        else:
            yield name, name


def _below(root, say):
    """The images at any depth below a folder; see data.listing.Walk.images. Links to folders are
    followed, but not upwards."""
    walk, pending = Walk(root), [""]
    seen = {str(folder) for folder in Path(root).resolve().parents}
    while pending:
        inside = pending.pop()
        identity = os.path.realpath(os.path.join(root, inside))
        if identity in seen:
            continue
        seen.add(identity)
        try:
            names, folders = walk.scan(inside, array("q"))
        except OSError:  # what is wrong with it is said where it is read, as of a picture
            yield os.path.join(root, inside), os.path.join(root, inside)
            continue
        for name in sorted(names):
            path = os.path.join(root, inside, name)
            yield path, path
        pending += [os.path.join(inside, name) for name in reversed(folders)]
    if walk.remark():
        say(walk.remark())


def _listed(path):
    lines = delimiter_of(path) is None
    with open_list(path, lines) as file:
        if lines:
            names = (line.removesuffix("\n").removesuffix("\r") for line in file)
        else:
            names = _column(path, rows_of(path, file))
        for name in filter(None, names):
            yield name, _place(path, name) or name


def _place(path, name):
    """Where the file is that a list names, None where there is none."""
    return spelled(name) or spelled(os.path.join(os.path.dirname(path), name))


def _column(path, rows):
    _, first = next(rows, (0, []))
    column = column_of(first, FILE_TITLES)
    if column is None:
        rows, column = itertools.chain([(0, first)], rows), 0
    for line, row in rows:
        check_alone(path, line, row, column, partial(_place, path))
        if row and column < len(row):
            yield row[column]


class _Files:
    """A source of data.sources of the paths of some pictures."""

    def __init__(self, paths):
        self.paths = paths

    def name(self, i):
        return self.paths[i]

    def read(self, i):
        path = self.paths[i]
        if os.path.isdir(path):
            os.scandir(path).close()  # which says why a folder cannot be listed
            raise IsADirectoryError(errno.EISDIR, "a folder", path)
        if not os.path.isfile(path):  # a pipe may never end
            there = "a pipe or a device" if os.path.exists(path) else unnamed(path) or "no such file"
            raise FileNotFoundError(errno.ENOENT, there, path)
        return Image.open(path, formats=formats())


def decoded(found, size, workers=None):
    """As `_decoded`; prints at the end which values were not 8 bits each."""
    scales = Counter()
    for picture in _decoded(found, size, workers):
        scales.update([picture.scale] * (picture.scale is not None))
        yield picture
    if scales:
        print(in_words(scales))


def _decoded(found, size, workers):
    """Decode pictures as a dataset's are (data.sources.decode), in their order, a few ahead.

    Args: found: (name, path) of each, as from `pictures`. size: px a side. workers: processes, None
        for one a core; a few pictures need none.
    Yields: Picture. Raises: ChildProcessError where a process dies.
    """
    found = iter(found)
    chunks = iter(lambda: list(itertools.islice(found, CHUNK)), [])
    first = list(itertools.islice(chunks, 2))
    chunks, workers = itertools.chain(first, chunks), workers or cores()
    pool = _pool(workers) if len(first) > 1 and workers > 1 else None
    if pool is None:
        for chunk in chunks:
            yield from _decode(chunk, size)
        return
    try:
        pending = deque(pool.submit(_decode, chunk, size)
                        for chunk in itertools.islice(chunks, 2 * workers))
        while pending:
            done = pending.popleft().result()
            pending.extend(pool.submit(_decode, chunk, size)
                           for chunk in itertools.islice(chunks, 1))
            yield from done
    except BrokenProcessPool as error:
        raise ChildProcessError("a decoding process died, perhaps for want of memory; start again "
                                "with fewer --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers):
    try:
        return start_pool(workers, formats, ())
    except (OSError, ImportError, NotImplementedError):  # without /dev/shm, say
        return None


def _decode(chunk, size):
    source, found = _Files([path for _, path in chunk]), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on odd but readable files
        for k, (name, _) in enumerate(chunk):
            try:
                image, scale = decode_and_scale(source, k, size)
                found.append(Picture(name, np.ascontiguousarray(image), "", scale))
            except ValueError as error:
                found.append(Picture(name, None, printable(error)))
    return found
