"""The store: packed once, opened at once, grown, resumed after a kill, checked, shared."""

import hashlib
import json
import mmap
import os
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data import changes, store, store_files
from data.sources import ArraySource, FolderSource
from data.store import read_ahead
from tests.data.made import SIZE, Opener, coded


def test_labels_match_what_the_images_say(opener):
    opened = opener()
    assert opened.images.shape == (24, SIZE, SIZE, 3) and opened.images.dtype == np.uint8
    assert isinstance(opened.images, np.memmap) and not opened.images.flags.writeable
    assert opened.classes == ("class0", "class1", "class2")
    assert opened.labels.dtype == np.int64 and opened.present.dtype == bool and opened.present.all()
    np.testing.assert_array_equal(opened.images[:, 0, 0, 0], opened.labels)
    np.testing.assert_array_equal(opened.images[:, 0, 0, 1], np.tile(np.arange(8), 3))
    checksums = np.load(opener.folder / "checksums.npy")
    assert checksums.tolist() == [store_files.checksum(image) for image in np.asarray(opened.images)]


def test_a_checksum_has_63_bits():
    found = np.array([store_files.checksum(coded(0, k)) for k in range(64)])
    digest = hashlib.blake2b(coded(0, 0).tobytes(), digest_size=8).digest()
    assert found[0] == int.from_bytes(digest, "little") // 2
    assert found.dtype == np.int64 and found.min() >= 0 and found.max() >= 2 ** 62 and len(set(found.tolist())) == 64


def test_contents_are_those_of_the_files_that_are_packed(opener):
    opened = opener(rows=[1, 9])
    for row, name in ((1, "class0/001.png"), (9, "class1/001.png")):
        content = (opener.root / name).read_bytes()
        assert opened.contents[row] == len(content) * 2 ** 32 + zlib.crc32(content)
    assert (np.delete(opened.contents, [1, 9]) == -1).all() and opened.contents.dtype == np.int64
    images = np.stack([coded(0, k) for k in range(4)])
    assert opener(lambda: ArraySource(images, [0] * 4, ["a"])).contents.tolist() == list(map(store_files.checksum, images))


def test_second_start_reads_no_file_and_writes_nothing(opener, monkeypatch):
    monkeypatch.setattr(changes, "TICK_NS", 0)  # as if the images had lain there for some seconds
    opener()
    before = {path.name: path.stat().st_mtime_ns for path in opener.folder.iterdir()}
    monkeypatch.setattr(FolderSource, "content", lambda *_: pytest.fail("read again"))
    opener.lines.clear()
    started = time.perf_counter()
    opened = opener()
    assert time.perf_counter() - started < 0.5 and opened.present.all() and not opener.lines
    assert before == {path.name: path.stat().st_mtime_ns for path in opener.folder.iterdir()}


def test_without_anything_to_watch_it_lists_every_time(opener):
    images = np.stack([coded(0, k) for k in range(4)])
    opener(lambda: ArraySource(images, [0] * 4, ["a"]))
    changed = opener(lambda: ArraySource(images + 1, [0] * 4, ["a"]))
    np.testing.assert_array_equal(changed.images, images + 1)


def test_a_watched_file_that_the_listing_makes(opener, tmp_path):
    def download():
        (tmp_path / "archive").write_text("content")
        return ArraySource(coded(0, 0)[None], [0], ["a"])

    opener(download, watched=[tmp_path / "archive"])
    opener(lambda: pytest.fail("listed again"), watched=[tmp_path / "archive"])
    (tmp_path / "archive").unlink()
    opener(download, watched=[tmp_path / "archive"])


def test_a_touched_folder_changes_nothing(opener):
    opener()
    os.utime(opener.root / "class1", ns=(1, 1))
    before = opener.bytes()
    opener.again()
    assert opener.bytes() == before


def test_an_added_image_is_decoded_alone(opener):
    old = opener()
    Image.fromarray(coded(1, 99)).save(opener.root / "class1" / "0005.png")
    new = opener()
    assert f"{opener.folder}: 1 of 25 images are new or have changed; decoding them" in opener.lines
    assert f"{opener.folder}: decoding 1 images to 8 px, 0.00 GB" in opener.lines
    assert len(new.labels) == 25 and (new.images[:, 0, 0, 0] == new.labels).all()
    assert len(old.images) == 24 and (old.images[:, 0, 0, 0] == old.labels).all()
    assert opener.again().present.all()


def test_rows_grow(opener):
    few = opener(rows=np.array([1, 9, 17]))
    assert np.flatnonzero(few.present).tolist() == [1, 9, 17]
    assert few.images[[1, 9, 17], 0, 0, 0].tolist() == [0, 1, 2] and not few.images[0].any()
    opener.again(rows=[17, 1])
    opener.lines.clear()
    more = opener(rows=lambda labels: np.flatnonzero(labels == 1))
    assert more.present.sum() == 10 and "decoding 7 images" in opener.lines[0]
    opener.again(rows=lambda labels: np.flatnonzero(labels == 1))
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


def test_rows_damaged_before_the_end_are_decoded_again(opener):
    opener()
    expected = opener.bytes()
    meta = json.loads((opener.folder / "meta.json").read_text())
    meta.update(finished=False, marks=None)
    (opener.folder / "meta.json").write_text(json.dumps(meta))
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
    message = f"images.npy: image 19 does not match its checksum; delete {opener.folder} to pack"
    with pytest.raises(ValueError, match=f"^{opener.folder}/{message} it again$"):
        opener()


def test_a_copied_store_is_checked_once(opener):
    opener()
    os.utime(opener.folder / "images.npy", ns=(1, 1))
    opener.lines.clear()
    opener.again()
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


def test_too_little_disk_is_an_error_before_anything_is_written(opener, monkeypatch):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=f"^{opener.folder}: 24 images of 8 px need 0.00 GB, [^\n]*$"):
        opener()
    assert [path.name for path in opener.folder.iterdir()] == ["lock"]


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


def test_a_store_among_the_images_does_not_disturb_itself(opener):
    opener.folder = opener.root / "store"
    unlabelled = lambda: FolderSource.unlabelled(opener.root)  # noqa: E731
    assert opener(unlabelled).labels.tolist() == [-1] * 24
    opener.again(unlabelled)


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
