"""Standard output of a program: it shows any name, and that it takes no more ends in no traceback."""

import os
import sys


def print_anything():
    """Have print() escape what the terminal cannot show, rather than raise UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every stand-in of a notebook or a test has it
            stream.reconfigure(errors="backslashreplace")


def ended(status, error=None):
    """Write what is still to be printed when a program ends.

    Args: status: that it ends with. error: an OSError of standard output that it has met.
    Returns: the same or, after a line, 1 where that cannot be written; a reader who has read enough
        (`| head`) is no failure.
    """
    try:
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
    except OSError as last:
        error = error or last
    if error is None:
        return status
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more
    if not status and not isinstance(error, BrokenPipeError):
        print(f"error: cannot write to standard output ({error.strerror})", file=sys.stderr)
        return 1
    return status
