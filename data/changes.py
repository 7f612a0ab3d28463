"""What has changed between the files that a store was packed from and those that lie there now.

A file is known by its key: size, mtime, ctime and inode. A key tells nothing where the file was
written so shortly before it was listed that another write may bear the same time (git calls it
racily clean), or where the file system knows no inodes: there the content is compared. It also
tells whether a file with another key is one that the store has: renamed, copied or touched.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data.listing import CTIME, INODE, SIZE, UNKNOWN
from data.store_files import ABSENT, CONTENT
from records.names import printable

TICK_NS = 2 * 10 ** 9  # the clocks of file systems are no coarser
GIGABYTES_UNSAID = 1  # are read within seconds
PAIRS_NAMED = 3  # old and new labels in a line


def doubtful(keys, checks, listed_ns):
    """Rows of packed files that may have changed without another key, as int64.

    Args: keys, checks: what keys.npy and checksums.npy hold. listed_ns: when they were listed.
    """
    young = (keys[:, CTIME] >= listed_ns - TICK_NS) | (keys[:, INODE] == 0)
    return np.flatnonzero(young & (keys[:, SIZE] >= 0) & (checks != ABSENT))


def same_contents(source, keys, rows, workers, say):
    """Whether files still have the content that was packed. Args: rows: of source and keys."""
    return np.array_equal(_contents(source, rows, workers, say), keys[rows, CONTENT])


def origins(source, keys, checks, listed_ns, workers, say):
    """The row of a store that holds each image of a source, as int64 (N,), -1 for none.

    Args: keys, checks, listed_ns: of the store, as in `doubtful`. workers: threads that read files.
    """
    sure = keys[:, SIZE] >= 0
    sure[doubtful(keys, checks, listed_ns)] = False
    origin = _find_keys(source.keys, keys, np.flatnonzero(sure))
    # without keys no size says which files are worth reading
    packed = np.flatnonzero((checks >= 0) & (keys[:, CONTENT] >= 0) & (keys[:, SIZE] >= 0))
    row_of, several = {}, set()
    for row in packed.tolist():
        key = tuple(keys[row, [SIZE, CONTENT]].tolist())
        if checks[row_of.setdefault(key, row)] != checks[row]:  # other pixels: crc32 does not tell these files apart
            several.add(key)
    row_of = {key: row for key, row in row_of.items() if key not in several}
    asked = np.flatnonzero((origin < 0) & np.isin(source.keys[:, SIZE], keys[packed, SIZE]))
    for row, content in zip(asked.tolist(), _contents(source, asked, workers, say).tolist()):
        origin[row] = row_of.get((int(source.keys[row, SIZE]), content), -1)
    return origin


def _find_keys(wanted, keys, rows):
    """Where each wanted key is among the rows of keys, as int64, -1 for nowhere."""
    if not len(rows):
        return np.full(len(wanted), -1)
    rows = rows[np.argsort(keys[rows, INODE], kind="stable")]
    place = np.searchsorted(keys[rows, INODE], wanted[:, INODE])
    found = rows[np.minimum(place, len(rows) - 1)]
    return np.where((keys[found, :CONTENT] == wanted).all(1), found, -1)


def _contents(source, rows, workers, say):
    """crc32 of the files of some rows, as int64."""
    found = np.full(len(rows), UNKNOWN)
    if not len(rows):
        return found
    gigabytes = source.keys[rows, SIZE].sum() / 1e9
    if gigabytes > GIGABYTES_UNSAID:
        say(f"reading {len(rows)} files, {gigabytes:.1f} GB, to see whether they have changed")
    with ThreadPoolExecutor(workers) as pool:
        found[:] = list(pool.map(source.content, rows.tolist()))
    return found


def in_words(origin, before, labels, classes, source):
    """What has changed, in a few words. Args: before, labels, classes: of the store: how many
    images it has, their labels, and the names of these."""
    new, count, parts = int((origin < 0).sum()), len(origin), []
    if new:
        parts.append(f"{new} of {count} images are new or have changed; decoding them")
    if count < before:
        parts.append(f"{before - count} fewer images than before")
    known = np.flatnonzero(origin >= 0)
    moved = _relabelled(labels[origin[known]], classes, source.labels[known], source.classes)
    if moved:
        parts.append(f"labels have changed: {moved}")
    elif tuple(classes) != tuple(source.classes):
        parts.append(f"{len(source.classes)} classes, {len(classes)} before")
    return "; ".join(parts) or ("files have other names, places or times; what they show is packed "
                                "already")


def _relabelled(old, old_classes, new, new_classes):
    """How many images have the label of another name, "" for none. Args: old, new: the labels of
    the same images."""
    pairs, counts = np.unique(np.stack([old, new], axis=1), axis=0, return_counts=True)
    old_names, new_names = ([*classes, "no label"] for classes in (old_classes, new_classes))
    found = [(count, old_names[one], new_names[other]) for (one, other), count in
             zip(pairs.tolist(), counts.tolist()) if old_names[one] != new_names[other]]
    found.sort(reverse=True)
    rest = sum(count for count, *_ in found[PAIRS_NAMED:])
    parts = [f"{count} from {printable(one)} to {printable(other)}" for count, one, other in
             found[:PAIRS_NAMED]]
    return ", ".join(parts + [f"{rest} others"] * (rest > 0))
