"""How a program runs and ends: memory, signals, and one line for what went wrong."""

import contextlib
import ctypes
import signal
import sys
import textwrap
import time

from parallel import distributed

SILENT_SECONDS = 3  # until another process than the first tells of an error
MESSAGE_LENGTH = 1000  # characters; a compiler's complaint has pages


class Interrupted(Exception):
    """A signal ended a run after a checkpoint. Args: message, signal number."""


def keep_freed_memory():
    """Have glibc keep freed memory for the next step instead of handing it back to the system,
    which would have to clear each page anew: a tenth of a training step on a CPU. Nothing
    elsewhere."""
    mmap_max, trim_threshold = -4, -1  # names of mallopt(3)
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)


def print_anything():
    """Have print() escape what the terminal cannot show, rather than raise UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every stand-in of a notebook or a test has it
            stream.reconfigure(errors="backslashreplace")


def run(main, argv=None):
    """Run a program's main; any failure becomes one line and status 1 (--debug: a traceback)."""
    keep_freed_memory()
    print_anything()
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    try:
        main(argv)
        distributed.leave()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except Interrupted as stop:
        if distributed.rank() == 0:
            print(stop.args[0], file=sys.stderr)
        distributed.leave()
        return 128 + stop.args[1]
    except Exception as error:  # the boundary between program and user
        if debug:
            raise
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        message = textwrap.shorten(f"{kind}{error}", MESSAGE_LENGTH, placeholder=" ... (--debug)")
        if distributed.lost(error):
            message = (f"lost one of the {distributed.world()} processes of this run (its own line "
                       "or torchrun's says why); the same command with --resume goes on from the "
                       "last checkpoint")
        elif distributed.rank():
            # Most errors meet every process. The first one says so at once, and torchrun ends the
            # others before they repeat it.
            time.sleep(SILENT_SECONDS)
            message = f"process {distributed.rank()}: {message}"
        print(f"error: {message}", file=sys.stderr, flush=True)
        return 1
    return 0
