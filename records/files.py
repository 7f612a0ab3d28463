"""Files that are written whole or not at all, and locks among processes."""

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}  # what a disk may say


@contextlib.contextmanager
def whole(path, mode="w", **options):
    """Open a new file that takes the place of `path` once it is complete and on the disk.

    Of two that write it at once the last to begin goes on.
    Args: mode, options: as for open(). Raises: OSError, which names the file where the disk is full,
        and for one that another writer has begun since; what lay at `path` before stays.
    """
    path, own = Path(path), None
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)  # a new file: the one that is there may be still written to
        with open(partial, mode.replace("w", "x"), **options) as file:
            own = os.fstat(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not _is(partial, own):
            raise OSError(f"{path}: another process writes it, too; give each a file of its own")
        os.replace(partial, path)
    except BaseException as error:
        if own and _is(partial, own):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL and not error.filename:
            error.filename = str(path)
        raise


def _is(path, opened):
    """Whether at a path lies the file that was opened. Args: opened: its os.stat_result."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), opened)
    return False


@contextlib.contextmanager
def writing(folder, what, flag):
    """Turn an OSError into one line: what could not be written, and the flag for another place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder}: cannot write the {what} ({reason}); make it writable, leave "
                      f"room on its disk, or use {flag} FOLDER") from error


@contextlib.contextmanager
def locked(folder, say, what, flag):
    """Hold a folder alone; where the file system knows no locks, hold nothing.

    Args: say: called with a line where it must wait. what, flag: as for `writing`.
    """
    with writing(folder, what, flag):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")
    with file:
        if flock(file, "LOCK_EX", "LOCK_NB") is False:
            say(f"{folder}: waiting for another process that makes this {what}")
            flock(file, "LOCK_EX")
        try:
            yield
        finally:
            flock(file, "LOCK_UN")


def flock(file, *flags):
    """Lock or unlock an open file. Args: flags: names of fcntl's LOCK_ flags.

    Returns: whether it worked, None where locks are unknown.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, sum(getattr(fcntl, flag) for flag in flags))
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return None


def protected(path, read=()):
    """Why no new file must take the place of what lies at a path, in words; "" where it may.

    Args: read: paths of what is read.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        return "is a folder or a device, not a file"
    if os.path.isfile(path) and any(os.path.exists(other) and os.path.samefile(path, other)
                                    for other in read):
        return "is read, and would be written over"
    return ""
