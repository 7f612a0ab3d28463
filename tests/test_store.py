"""The store: packed once, opened at once, grown, resumed after a kill, checked, shared."""

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import packing, store, store_files
from data.sources import ArraySource, FolderSource
from data.store import open_store, read_ahead

ROOT = Path(__file__).resolve().parent.parent
SIZE = 8


def coded(label, k):
    """An image whose first pixel is (label, k, 0)."""
    pixels = np.full((SIZE, SIZE, 3), 10 * label + k, dtype=np.uint8)
    pixels[0, 0] = label, k, 0
    return pixels


def fill(root, classes=3, per_class=8):
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for k in range(per_class):
            Image.fromarray(coded(label, k)).save(root / f"class{label}" / f"{k:03d}.png")


class Opener:
    """open_store with few words; remembers listings and lines."""

    def __init__(self, tmp_path):
        self.root, self.folder = tmp_path / "train", tmp_path / "store"
        self.listings, self.lines = 0, []

    def list(self):
        self.listings += 1
        return FolderSource.labelled(self.root)

    def __call__(self, make_source=None, size=SIZE, **options):
        options = {"directories": [self.root], "workers": 2, "say": self.lines.append, **options}
        return open_store(self.folder, make_source or self.list, size, **options)

    def bytes(self):
        return {name: (self.folder / name).read_bytes() for name in store_files.NAMES}


@pytest.fixture
def opener(tmp_path):
    fill(tmp_path / "train")
    return Opener(tmp_path)


def test_labels_match_what_the_images_say(opener):
    opened = opener()
    assert opened.images.shape == (24, SIZE, SIZE, 3) and opened.images.dtype == np.uint8
    assert isinstance(opened.images, np.memmap) and not opened.images.flags.writeable
    assert opened.classes == ("class0", "class1", "class2")
    assert opened.labels.dtype == np.int64 and opened.present.dtype == bool and opened.present.all()
    np.testing.assert_array_equal(opened.images[:, 0, 0, 0], opened.labels)
    np.testing.assert_array_equal(opened.images[:, 0, 0, 1], np.tile(np.arange(8), 3))
    checksums = np.load(opener.folder / "checksums.npy")
    assert checksums.tolist() == [zlib.crc32(image) for image in np.asarray(opened.images)]


def test_second_start_lists_nothing_and_writes_nothing(opener):
    opener()
    before = {path.name: path.stat().st_mtime_ns for path in opener.folder.iterdir()}
    opener.lines.clear()
    started = time.perf_counter()
    opened = opener(lambda: pytest.fail("listed again"))
    assert time.perf_counter() - started < 0.5 and opened.present.all() and not opener.lines
    assert before == {path.name: path.stat().st_mtime_ns for path in opener.folder.iterdir()}


def test_without_anything_to_watch_it_lists_every_time(opener):
    images = np.stack([coded(0, k) for k in range(4)])
    opener(lambda: ArraySource(images, [0] * 4, ["a"]), directories=[])
    changed = opener(lambda: ArraySource(images + 1, [0] * 4, ["a"]), directories=[])
    np.testing.assert_array_equal(changed.images, images + 1)


def test_a_watched_file_that_the_listing_makes(opener, tmp_path):
    def download():
        (tmp_path / "archive").write_text("content")
        return ArraySource(coded(0, 0)[None], [0], ["a"])

    opener(download, directories=[tmp_path / "archive"])
    opener(lambda: pytest.fail("listed again"), directories=[tmp_path / "archive"])
    (tmp_path / "archive").unlink()
    opener(download, directories=[tmp_path / "archive"])


def test_a_touched_folder_is_listed_once_and_not_packed(opener):
    opener()
    os.utime(opener.root / "class1", ns=(1, 1))
    before = opener.bytes()
    opener()
    opener()
    assert opener.listings == 2 and opener.bytes() == before


def test_changed_images_are_packed_anew(opener):
    old = opener()
    Image.fromarray(coded(1, 99)).save(opener.root / "class1" / "0005.png")
    new = opener()
    assert sum("packing anew" in line for line in opener.lines) == 1
    assert len(new.labels) == 25 and (new.images[:, 0, 0, 0] == new.labels).all()
    assert len(old.images) == 24 and (old.images[:, 0, 0, 0] == old.labels).all()
    assert opener(lambda: pytest.fail("listed again")).present.all()


def test_rows_grow(opener):
    few = opener(rows=np.array([1, 9, 17]))
    assert np.flatnonzero(few.present).tolist() == [1, 9, 17]
    assert few.images[[1, 9, 17], 0, 0, 0].tolist() == [0, 1, 2] and not few.images[0].any()
    opener(lambda: pytest.fail("listed again"), rows=[17, 1])
    opener.lines.clear()
    more = opener(rows=lambda labels: np.flatnonzero(labels == 1))
    assert more.present.sum() == 10 and "decoding 7 images" in opener.lines[0]
    opener(lambda: pytest.fail("listed again"), rows=lambda labels: np.flatnonzero(labels == 1))
    opener()
    grown = opener.bytes()
    other = Opener(opener.root.parent)
    other.folder = opener.root.parent / "at once"
    other()
    assert grown == other.bytes()
    with pytest.raises(ValueError, match="rows 0 to 24 asked of 24 images"):
        opener(rows=[0, 24])


def test_absent_rows_take_no_disk(opener):
    images = np.zeros((64, 256, 256, 3), dtype=np.uint8)
    opener(lambda: ArraySource(images, [0] * 64, ["a"]), size=256, rows=[0])
    status = os.stat(opener.folder / "images.npy")
    assert status.st_size > 12e6 and status.st_blocks * 512 < 1e6


def test_another_size_is_packed_anew(opener):
    opener()
    assert opener(size=4).images.shape == (24, 4, 4, 3)


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
    opened = open_store({folder!r}, lambda: Slow.labelled({images!r}), 8,
                        directories=[{images!r}], workers=2)
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
    return checksums.exists() and checksums.stat().st_size > 128 and (np.load(checksums) >= 0).any()


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


def test_workers_of_a_killed_parent_end_and_free_the_lock(opener):
    process = start(opener, seconds=0.2)
    wait_for(lambda: (opener.folder / "meta.json").exists() and len(children(process.pid)) == 2)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(is_alive(worker) for worker in workers), seconds=10)
    assert opener().present.all()


def test_rows_damaged_before_the_end_are_decoded_again(opener):
    opener()
    expected = opener.bytes()
    meta = json.loads((opener.folder / "meta.json").read_text())
    (opener.folder / "meta.json").write_text(json.dumps({**meta, "finished": False, "marks": None}))
    overwrite(opener.folder / "images.npy", -5 * SIZE * SIZE * 3, b"damage")
    opener()
    assert opener.bytes() == expected and any("decoding 1 images" in line for line in opener.lines)


def overwrite(path, position, content):
    with open(path, "rb+") as file:
        file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        file.write(content)


def test_damage_to_a_finished_store_is_an_error(opener):
    opener()
    overwrite(opener.folder / "images.npy", -5 * SIZE * SIZE * 3, b"damage")
    with pytest.raises(ValueError, match=f"^{opener.folder}/images.npy: image 19 does not match its "
                                         f"checksum; delete {opener.folder} to pack it again$"):
        opener()


def test_a_copied_store_is_checked_once(opener):
    opener()
    os.utime(opener.folder / "images.npy", ns=(1, 1))
    opener.lines.clear()
    opener(lambda: pytest.fail("listed again"))
    assert opener.lines == [f"{opener.folder}: checking 24 images against their checksums"]
    opener.lines.clear()
    opener()
    assert not opener.lines


@pytest.mark.parametrize("name", store_files.NAMES)
def test_a_cut_or_missing_file_is_an_error(opener, name):
    opener()
    path = opener.folder / name
    for damage in (lambda: os.truncate(path, path.stat().st_size - 10), path.unlink):
        damage()
        with pytest.raises(ValueError, match=f"^{opener.folder}: damaged store .* delete [^\n]*$"):
            opener()


def test_changed_labels_are_noticed(opener):
    opener()
    overwrite(opener.folder / "labels.npy", -8, b"\x07")
    with pytest.raises(ValueError, match="labels.npy: does not match its checksum"):
        opener()


def test_an_unreadable_meta_starts_anew(opener):
    opener()
    (opener.folder / "meta.json").write_text("{")
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
    opener(lambda: pytest.fail("listed again"), max_bad_images=2)
    opener(lambda: pytest.fail("listed again"), rows=[0, 1])
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


def test_too_little_disk_is_an_error_before_anything_is_written(opener, monkeypatch):
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=f"^{opener.folder}: 24 images of 8 px need 0.00 GB, [^\n]*$"):
        opener()
    assert [path.name for path in opener.folder.iterdir()] == ["lock"]


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


def test_ctrl_c_leaves_no_process_and_no_lock(opener):
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


def test_an_unwritable_folder_is_one_line(opener):
    opener.folder.write_text("a file in its place")
    with pytest.raises(OSError, match=f"^{opener.folder}: cannot write the image store [^\n]*$"):
        opener()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_opens_and_does_not_grow(opener):
    opener(rows=[0])
    opener.folder.chmod(0o500)
    try:
        assert opener(rows=[0]).present.sum() == 1
        (opener.folder / "lock").chmod(0o400)
        with pytest.raises(OSError, match="cannot write the image store"):
            opener()
    finally:
        opener.folder.chmod(0o700)


def test_two_processes_at_once(opener):
    processes = [start(opener, seconds=0.02) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all("present 24" in output for output in outputs)
    assert sum("decoding 24 images" in output for output in outputs) == 1
    assert sum("waiting for another process" in output for output in outputs) == 1


def test_a_store_among_the_images_does_not_disturb_itself(opener):
    opener.folder = opener.root / "store"
    unlabelled = lambda: FolderSource.unlabelled(opener.root)  # noqa: E731
    assert opener(unlabelled).labels.tolist() == [-1] * 24
    opener(lambda: pytest.fail("listed again"))


def test_spawned_workers(opener, monkeypatch):
    monkeypatch.setattr(packing.sys, "platform", "darwin")
    assert opener(rows=np.arange(20)).present.sum() == 20


class Recording(mmap.mmap):
    """A mapping that remembers what it was asked to load."""

    def madvise(self, option, begin, length):
        self.asked.append((begin, begin + length))
        super().madvise(option, begin, length)


def test_read_ahead_asks_for_whole_pages_of_each_image(tmp_path):
    images = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (24, 64, 64, 3))
    with open(tmp_path / "x.npy", "rb") as file:
        mapped = Recording(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = np.frombuffer(mapped, np.uint8, offset=images.offset).reshape(images.shape)
    view = view.view(np.memmap)
    view._mmap, mapped.asked = mapped, []
    read_ahead(view, np.array([0, 23]))
    read_ahead(view[5:], [18])
    assert mapped.asked[2] == mapped.asked[1]
    for (begin, end), k in zip(mapped.asked, (0, 23)):
        first = images.offset + k * 64 * 64 * 3
        assert begin % mmap.PAGESIZE == 0 and first - mmap.PAGESIZE < begin <= first
        assert end == first + 64 * 64 * 3


def test_read_ahead_of_other_arrays_does_nothing(opener):
    read_ahead(np.zeros((2, 2, 2, 3)), [0])
    read_ahead(opener().images, [])
