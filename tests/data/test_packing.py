"""Packing: progress, unreadable images, and processes that are killed, interrupted or many."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data import packing, store_files
from data.sources import FolderSource
from tests.common import ROOT
from tests.data.made import fill

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


def test_progress_lines_and_sizes(opener, monkeypatch):
    monkeypatch.setattr(packing, "REPORT_SECONDS", 0)
    opener()
    assert opener.lines[0] == f"{opener.folder}: decoding 24 images to 8 px, 0.00 GB"
    assert opener.lines[-1].startswith("decoded 24 of 24 images, ") and len(opener.lines) > 2


def test_progress_bar_on_a_terminal(opener, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    opener()
    assert "24/24" in capsys.readouterr().err and len(opener.lines) == 1


PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from data.sources import FolderSource
from data.store import open_store

class Slow(FolderSource):
    def read(self, i):
        time.sleep({seconds})
        return super().read(i)

if __name__ == "__main__":
    opened = open_store({folder!r}, lambda: Slow.labelled({images!r}), 8, workers=2)
    print("present", opened.present.sum(), flush=True)
"""


def start(opener, seconds=0.004):
    program = PROGRAM.format(root=str(ROOT), folder=str(opener.folder), images=str(opener.root),
                             seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.STDOUT, start_new_session=True)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_packing(opener):
    checksums = opener.folder / "checksums.npy"
    laid_out = checksums.exists() and checksums.stat().st_size > 128
    return laid_out and (np.load(checksums) >= 0).any()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")")[1].split()[0] != "Z"


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(opener, tmp_path):
    fill(tmp_path / "many", 4, 100)
    opener.root = tmp_path / "many"
    opener()
    expected = opener.bytes()
    opener.folder, pauses, kept = tmp_path / "killed", random.Random(0), []
    for _ in range(5):
        process = start(opener)
        if kept:
            time.sleep(pauses.uniform(0.2, 0.8))
        else:
            wait_for(lambda: is_packing(opener))
        process.kill()
        process.communicate()
        kept.append(int((np.load(opener.folder / "checksums.npy") >= 0).sum()))
    assert kept == sorted(kept) and kept[0] > 0
    opener.lines.clear()
    assert opener().present.all() and opener.bytes() == expected
    assert f"decoding {400 - kept[-1]} images" in "".join(opener.lines) or kept[-1] == 400


@linux
def test_workers_of_a_killed_parent_end_and_free_the_lock(opener):
    process = start(opener, seconds=0.2)
    wait_for(lambda: (opener.folder / "meta.json").exists() and len(children(process.pid)) == 2)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(is_alive(worker) for worker in workers), seconds=10)
    assert opener().present.all()


def test_bad_images_stop_or_are_skipped(opener):
    bad = [opener.root / "class0" / "003.png", opener.root / "class2" / "000.png"]
    for path in bad:
        path.write_bytes(b"")
    message = r"^{}: not a readable image \([^\n]*--max-bad-images"
    with pytest.raises(ValueError, match=message.format(f"({bad[0]}|{bad[1]})")):
        opener()
    with pytest.raises(ValueError, match="more images than --max-bad-images 1 are unreadable"):
        opener(max_bad_images=1)
    opener.lines.clear()
    opened = opener(max_bad_images=2)
    assert np.flatnonzero(~opened.present).tolist() == [3, 16] and not opened.images[[3, 16]].any()
    assert sum(line.startswith(f"skipped {opener.root}") for line in opener.lines) == 2
    assert opener.lines[-1].startswith(f"{opener.folder}: 2 unreadable images are left out")
    listed = (opener.folder / "bad.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == ["3", "16"] and str(bad[1]) in listed[1]
    assert np.load(opener.folder / "checksums.npy")[[3, 16]].tolist() == [-2, -2]
    opener.again(max_bad_images=2)
    opener.again(rows=[0, 1])
    with pytest.raises(ValueError, match=message.format(bad[0])):
        opener(rows=[3])


def test_bad_images_leave_the_rest_verified(opener):
    (opener.root / "class0" / "003.png").write_bytes(b"")
    with pytest.raises(ValueError):
        opener()
    opener.lines.clear()
    opener(max_bad_images=1)
    assert not any("checking" in line for line in opener.lines)


def test_repaired_images_leave_the_list(opener):
    path = opener.root / "class0" / "003.png"
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    opener(max_bad_images=1)
    path.write_bytes(content)
    assert opener().present.all() and not (opener.folder / "bad.txt").exists()


class Failing(FolderSource):
    """Ends its worker at one image."""

    def read(self, i):
        if i == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(i)


def test_a_worker_that_dies_is_one_error_and_the_rest_is_kept(opener):
    with pytest.raises(OSError, match="^a decoding process died[^\n]*$"):
        opener(lambda: Failing.labelled(opener.root))
    assert opener().present.all()


class Interrupting(FolderSource):
    """Presses Ctrl-C once."""

    def read(self, i):
        if i == 3:
            os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.01)
        return super().read(i)


@linux
def test_ctrl_c_leaves_no_process_and_no_lock(opener):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with pytest.raises(KeyboardInterrupt):
        opener(lambda: Interrupting.labelled(opener.root))
    assert not children(os.getpid())
    assert opener().present.all()


@pytest.mark.parametrize("operation", ["write", "open"])
def test_a_full_disk_is_one_line(opener, monkeypatch, operation):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    if operation == "write":
        monkeypatch.setattr(packing, "_pack_chunk", refuse_to_pack)
    else:
        monkeypatch.setattr(store_files.np, "save", refuse)
    with pytest.raises(OSError, match=f"^{opener.folder}: cannot write the image store "
                                      r"\(No space left on device\)[^\n]*$"):
        opener()


def refuse_to_pack(rows):
    raise OSError(28, "No space left on device")


def test_two_processes_at_once(opener):
    processes = [start(opener, seconds=0.02) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all("present 24" in output for output in outputs)
    assert sum("decoding 24 images" in output for output in outputs) == 1
    assert sum("waiting for another process" in output for output in outputs) == 1


def test_spawned_workers(opener, monkeypatch):
    monkeypatch.setattr(packing.sys, "platform", "darwin")
    assert opener(rows=np.arange(20)).present.sum() == 20
