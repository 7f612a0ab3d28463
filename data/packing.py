"""Decode images into a store's file with worker processes."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.sources import decode_and_scale
from data.store_files import BAD, checksum, writing
from records.names import printable

CHUNK_ROWS = 256
REPORT_SECONDS = 10
_worker = {}  # what this process decodes; empty where it does not


def pack(path, source, size, rows, workers, done, say):
    """Decode rows of a source and write them to their places in a .npy file.

    Args:
        path: file of uint8 (N, size, size, 3). rows: int64, ascending. workers: processes at most.
        done: called with (rows, checksums, crc32 of the files' bytes, {row: message of an
            unreadable image}, Counter of the scales of wide values, see `decode_and_scale`) of each
            chunk that is written; ends everything by raising.
        say: called with a line of progress now and then where there is no terminal.
    Raises: OSError where writing fails, ChildProcessError where a worker dies.
    """
    workers = min(workers, -(-len(rows) // 16))
    chunks = split(rows, min(CHUNK_ROWS, -(-len(rows) // (4 * workers))))
    offset = np.load(path, mmap_mode="r").offset
    try:
        pool = start_pool(min(workers, len(chunks)), _open, (source, path, offset, size))
    except (OSError, ImportError, NotImplementedError) as error:  # without /dev/shm, say
        say(f"{path.parent}: no processes to decode with ({error}); decoding in this one")
        return _pack_here(chunks, (source, path, offset, size), done, say)
    try:
        futures = [pool.submit(_pack_chunk, chunk) for chunk in chunks]
        with _progress(len(rows), say) as advance:
            for future in as_completed(futures):
                with writing(path.parent):
                    packed = future.result()
                done(*packed)
                advance(len(packed[0]))
    except BrokenProcessPool as error:
        raise ChildProcessError("a decoding process died, perhaps for want of memory; start again "
                                "to go on from here, with fewer --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def split(rows, length):
    """Cut an array into pieces of at most so many rows."""
    return [rows[start:start + length] for start in range(0, len(rows), length)]


def cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pack_here(chunks, what, done, say):
    """As `pack`, in this process."""
    with warnings.catch_warnings(), _progress(sum(map(len, chunks)), say) as advance:
        _open(*what)
        try:
            for chunk in chunks:
                with writing(what[1].parent):
                    packed = _pack_chunk(chunk)
                done(*packed)
                advance(len(packed[0]))
        finally:
            _worker["file"].close()
            _worker.clear()


def start_pool(workers, start, what):
    """Processes to decode with, which end with this one. Args: start: called with what in each.

    Raises: OSError, ImportError, NotImplementedError where there can be none.
    """
    Image.init()  # so that forked workers share the plugins that Pillow imports at first use
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    return ProcessPoolExecutor(workers, context, _start_worker, (start, what))


def _start_worker(start, what):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    start(*what)


def _open(source, path, offset, size):
    warnings.simplefilter("ignore")  # Pillow's, on odd but readable files
    _worker.update(source=source, file=open(path, "rb+"), offset=offset, size=size)


def _die_with_parent():
    # An orphan would wait for work for ever, and hold the store's lock, which a fork inherits.
    multiprocessing.parent_process().join()
    os._exit(1)


def _pack_chunk(rows):
    source, file, size = _worker["source"], _worker["file"], _worker["size"]
    checks, contents = np.empty((2, len(rows)), dtype=np.int64)
    failures, scales = {}, Counter()
    for k, row in enumerate(rows.tolist()):
        contents[k] = source.content(row)
        try:
            image, scale = decode_and_scale(source, row, size)
            image = np.ascontiguousarray(image)
            checks[k] = checksum(image)
            scales.update([scale] if scale else ())
        except ValueError as error:
            image = np.zeros((size, size, 3), dtype=np.uint8)
            checks[k], failures[row] = BAD, printable(error)
        # Into the file, not a mapping of it: a full disk is an error here, a SIGBUS there.
        file.seek(_worker["offset"] + row * image.nbytes)
        file.write(image)
    file.flush()
    return rows, checks, contents, failures, scales


@contextlib.contextmanager
def _progress(total, say):
    """Yield advance(count): moves a bar on a terminal, says a line now and then elsewhere."""
    if sys.stderr.isatty():
        with tqdm(total=total, unit=" images", dynamic_ncols=True) as bar:
            yield bar.update
        return
    start = said = time.monotonic()
    done = 0

    def advance(count):
        nonlocal done, said
        done, now = done + count, time.monotonic()
        if now - said < REPORT_SECONDS and done < total:
            return
        said, rate = now, done / max(now - start, 1e-9)
        say(f"decoded {done} of {total} images, {rate:.0f} images/s, "
            f"{(total - done) / rate:.0f} s left")

    yield advance
