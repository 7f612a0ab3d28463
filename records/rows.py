"""Names and rows of numbers, as many as there are, into one .npz file."""

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from records.files import whole

PIECE_BYTES = 2 ** 20
NAMES_TOGETHER = 4096


@contextlib.contextmanager
def npz_rows(path, width):
    """Write a .npz file of `names`, str (N,), and `features`, float32 (N, width), whole or not at
    all. Rows wait beside it on the disk, not in memory.

    Yields: add(names, float32 (n, width) array). Raises: OSError.
    """
    count = longest = 0
    with whole(path, "wb") as file, \
            tempfile.TemporaryFile(dir=Path(path).parent) as rows, \
            tempfile.TemporaryFile("w+", dir=Path(path).parent, encoding="ascii") as names:
        def add(some, features):
            nonlocal count, longest
            for name in some:
                names.write(json.dumps(name) + "\n")  # in ASCII, whatever is in it
                longest = max(longest, len(name))
            rows.write(np.ascontiguousarray(features, dtype="<f4"))
            count += len(some)

        yield add
        rows.seek(0)
        names.seek(0)
        with zipfile.ZipFile(file, "w") as archive:
            with _member(archive, "names", f"<U{max(1, longest)}", (count,)) as member:
                while some := [json.loads(line) for line, _ in zip(names, range(NAMES_TOGETHER))]:
                    member.write(np.array(some, dtype=f"<U{max(1, longest)}").tobytes())
            with _member(archive, "features", "<f4", (count, width)) as member:
                while piece := rows.read(PIECE_BYTES):
                    member.write(piece)


@contextlib.contextmanager
def _member(archive, name, kind, shape):
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        yield member
