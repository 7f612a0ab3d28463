"""Files that are written whole or not at all."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole(path, mode="w", **options):
    """Open a new file that takes the place of `path` once it is complete and on the disk.

    Args: mode, options: as for open(). Raises: OSError; what lay at `path` before stays.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
