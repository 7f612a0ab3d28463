"""Exact copies of pictures: known by the bytes of their files, or by their pixels where two stores
hold them at the same size. PyTorch is imported where a checkpoint keeps what was seen."""

import numpy as np


def seen(split, rows):
    """What tells the images of some rows of a Split from others.

    Args: rows: int64, of split.images. Returns: dict: "pixels": {px a side of the stored images:
        checksums, int64, ascending}; "files": int64, ascending, of those whose files are known;
        "whole": {px a side: whether all files of these images are}.
    """
    files, size = split.contents[rows], split.images.shape[1]
    return {"pixels": {size: np.unique(split.checksums[rows])},
            "files": np.unique(files[files >= 0]), "whole": {size: bool((files >= 0).all())}}


def merged(one, other):
    """What was seen of both."""
    sizes = {**one["pixels"], **other["pixels"]}
    nothing = np.empty(0, dtype=np.int64)
    return {"pixels": {size: np.union1d(one["pixels"].get(size, nothing),
                                        other["pixels"].get(size, nothing)) for size in sizes},
            "files": np.union1d(one["files"], other["files"]),
            "whole": {size: one["whole"].get(size, True) and other["whole"].get(size, True)
                      for size in sizes}}


def count_copies(split, rows, known):
    """How many images are copies of some that were seen; None where none is found and not all could
    be, for want of a size that both are stored at and of files.

    Args: as for `copies`.
    """
    found, size = int(copies(split, rows, known).sum()), split.images.shape[1]
    files = bool((split.contents[rows] >= 0).all())
    told = all(size == other or files and whole for other, whole in known["whole"].items())
    return found if found or told or not len(rows) else None


def copies(split, rows, known):
    """Which images are copies of some that were seen: bool, one for each of the rows.

    Args: rows: as for `seen`; known: as from it.
    """
    same = np.isin(split.checksums[rows], known["pixels"].get(split.images.shape[1], ()))
    return same | (np.isin(split.contents[rows], known["files"]) & (split.contents[rows] >= 0))


def same_picture(checksums, contents):
    """Which images are copies of each other, by pixels or files, or through a third that is one by
    pixels and one by file.

    Args: checksums, contents: int64 (N,) as of a Split; negative ones tell nothing.
    Returns: int64 (N,), the first row of each one's copies.
    """
    groups, before = np.arange(len(checksums)), None
    told = [np.flatnonzero(values >= 0) for values in (checksums, contents)]
    told = [(rows, np.unique(values[rows], return_inverse=True)[1])
            for rows, values in zip(told, (checksums, contents)) if len(rows)]
    while before is None or not np.array_equal(groups, before):
        before = groups.copy()
        for rows, alike in told:
            least = np.full(alike.max() + 1, len(groups))
            np.minimum.at(least, alike, groups[rows])
            groups[rows] = least[alike]
    return groups


def conflicting(labels, groups):
    """Which images have a copy under another label: bool (N,). Args: labels: int64 (N,), at least 0. groups: as
    from same_picture."""
    low, high = np.full(len(groups), labels.max(initial=0)), np.zeros(len(groups), dtype=np.int64)
    np.minimum.at(low, groups, labels)
    np.maximum.at(high, groups, labels)
    return (low < high)[groups]


def to_state(known):
    """As a checkpoint keeps it."""
    import torch
    return {"pixels": {size: torch.from_numpy(np.array(found))
                       for size, found in known["pixels"].items()},
            "files": torch.from_numpy(np.array(known["files"])), "whole": dict(known["whole"])}


def from_state(state):
    """As from `seen`, of what a checkpoint keeps; None where it keeps nothing of the kind.

    Of an older one, which does not say whether all files are known, their number tells.
    """
    try:
        pixels = {int(size): found.numpy() for size, found in state["pixels"].items()}
        found = {"pixels": pixels, "files": state["files"].numpy()}
        counted = len(found["files"]) >= sum(map(len, pixels.values()))
        whole = state.get("whole", dict.fromkeys(pixels, counted))
        found["whole"] = {size: bool(whole[size]) for size in pixels}
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, RuntimeError):
        return None
    arrays = [*pixels.values(), found["files"]]
    return found if all(array.dtype == np.int64 and array.ndim == 1 for array in arrays) else None
