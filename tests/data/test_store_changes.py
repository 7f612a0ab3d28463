"""A store follows its files: labels, names, contents; what it holds already is not decoded anew."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data import changes, store, store_files
from data.sources import FolderSource
from tests.data.made import SIZE, coded


def place(opener, label, k):
    return opener.root / f"class{label}" / f"{k:03d}.png"


def settle(opener, monkeypatch):
    """As if the images had lain there for some seconds."""
    monkeypatch.setattr(changes, "TICK_NS", 0)
    return opener()


def fresh(opener, **options):
    """The bytes of a store packed at once from what lies there now."""
    kept, opener.folder = opener.folder, opener.folder.with_name("fresh")
    opener(**options)
    found, opener.folder = opener.bytes(), kept
    shutil.rmtree(kept.with_name("fresh"))
    return found


def same(opener):
    return {name: content for name, content in opener.bytes().items() if name != "keys.npy"}


def agrees(opener):
    expected = fresh(opener)
    return all(content == expected[name] for name, content in same(opener).items())


@pytest.mark.parametrize("young", [True, False])
def test_swapped_files_have_the_labels_of_their_folders(opener, monkeypatch, young):
    opener() if young else settle(opener, monkeypatch)
    one, other, aside = place(opener, 0, 3), place(opener, 2, 3), opener.root / "aside"
    for path, to in ((one, aside), (other, one), (aside, other)):
        path.rename(to)
    opened = opener.again()
    line, = opener.lines
    assert line == (f"{opener.folder}: labels have changed: 1 from class2 to class0, "
                    "1 from class0 to class2")
    assert opened.images[3, 0, 0, 0] == 2 and opened.images[19, 0, 0, 0] == 0 and agrees(opener)


@pytest.mark.parametrize("young", [True, False])
def test_swapped_folders(opener, monkeypatch, young):
    opener() if young else settle(opener, monkeypatch)
    for name, to in (("class0", "aside"), ("class1", "class0"), ("aside", "class1")):
        (opener.root / name).rename(opener.root / to)
    opened = opener.again()
    assert "8 from class1 to class0" in opener.lines[0]
    assert opened.images[:, 0, 0, 0].tolist() == [1] * 8 + [0] * 8 + [2] * 8 and agrees(opener)
    assert opener.again() and not opener.lines


def test_a_renamed_folder_leaves_the_images_where_they_are(opener, monkeypatch):
    settle(opener, monkeypatch)
    images = os.stat(opener.folder / "images.npy")
    (opener.root / "class2").rename(opener.root / "zebra")
    assert opener.again().classes == ("class0", "class1", "zebra")
    assert opener.lines == [f"{opener.folder}: labels have changed: 8 from class2 to zebra"]
    assert os.stat(opener.folder / "images.npy").st_ino == images.st_ino and agrees(opener)


def test_the_same_size_and_time_but_another_content(opener, monkeypatch):
    """What tar and zip do: they set the times of what they write over an old file."""
    settle(opener, monkeypatch)
    path = place(opener, 1, 4)
    before, content = path.stat(), path.read_bytes()
    Image.fromarray(coded(1, 44)).save(path)
    written = path.read_bytes().ljust(len(content), b"\0")
    path.write_bytes(written)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_ino) == (len(content), before.st_ino)
    assert opener().images[12, 0, 0, 1] == 44 and agrees(opener)
    assert "1 of 24 images are new or have changed" in "".join(opener.lines)


def test_a_file_written_within_a_tick_of_its_listing_is_compared_once(opener, monkeypatch):
    """Another write may have borne the same time: here it does, and no key tells it."""
    opener()
    path, find = place(opener, 1, 4), FolderSource.content

    def content(self, i):
        return find(self, i) if self.name(i) != str(path) else 1

    monkeypatch.setattr(FolderSource, "content", content)
    opener()
    assert "1 of 24 images are new or have changed" in "".join(opener.lines)
    monkeypatch.undo()
    monkeypatch.setattr(changes, "TICK_NS", 0)
    opener()
    monkeypatch.setattr(FolderSource, "content", lambda *_: pytest.fail("compared again"))
    opener.again()


def test_touched_and_copied_files_are_not_decoded(opener, monkeypatch, tmp_path):
    settle(opener, monkeypatch)
    for path in opener.root.rglob("*.png"):
        path.touch()
    opener.again()
    line, = opener.lines
    assert line.endswith("have other names, places or times; what they show is packed already")
    shutil.copytree(opener.root, tmp_path / "elsewhere")
    opener.root = tmp_path / "elsewhere"
    opener.again()


def test_removed_images_are_gone(opener, monkeypatch):
    settle(opener, monkeypatch)
    place(opener, 0, 0).unlink()
    assert len(opener.again().labels) == 23
    assert opener.lines == [f"{opener.folder}: 1 fewer images than before"]
    assert agrees(opener)


def test_a_file_system_without_inodes(opener, monkeypatch):
    """Files are told apart by their content, at each start."""
    find = FolderSource.labelled

    def without_inodes():
        source = find(opener.root)
        source.keys[:, 3] = 0
        return source

    monkeypatch.setattr(changes, "TICK_NS", 0)
    opener(without_inodes)
    opener.again(without_inodes)
    assert not opener.lines
    for name, to in (("class0", "aside"), ("class1", "class0"), ("aside", "class1")):
        (opener.root / name).rename(opener.root / to)
    assert opener.again(without_inodes).images[:, 0, 0, 0].tolist() == [1] * 8 + [0] * 8 + [2] * 8


def test_a_bad_image_stays_bad_until_it_is_repaired(opener, monkeypatch):
    monkeypatch.setattr(changes, "TICK_NS", 0)
    path = place(opener, 1, 4)
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    assert not opener(max_bad_images=1).present[12]
    assert not opener.again(max_bad_images=1).present[12]
    path.write_bytes(content)
    assert opener(max_bad_images=1).present.all() and not (opener.folder / "bad.txt").exists()


def test_rows_that_were_not_asked_for_stay_absent(opener, monkeypatch):
    monkeypatch.setattr(changes, "TICK_NS", 0)
    opener(rows=[0, 9])
    (opener.root / "class1").rename(opener.root / "klass")
    few = opener.again(rows=[0, 17])
    assert np.flatnonzero(few.present).tolist() == [0, 17]


class Killed(BaseException):
    """Stands for the process ending where it is raised."""


@pytest.mark.parametrize("at", range(6))
def test_killed_while_one_store_takes_the_place_of_another(opener, monkeypatch, at):
    monkeypatch.setattr(changes, "TICK_NS", 0)
    opener()
    place(opener, 0, 0).rename(place(opener, 1, 99))
    replace, calls = os.replace, iter(range(100))

    def kill(*paths):
        if next(calls) == at:
            raise Killed
        replace(*paths)

    monkeypatch.setattr(store_files.os, "replace", kill)
    with pytest.raises(Killed):
        opener()
    monkeypatch.setattr(store_files.os, "replace", replace)
    opened = opener.again()
    assert opened.present.all() and agrees(opener) and not (opener.folder / "next").exists()


def test_without_room_for_a_copy_it_is_packed_anew(opener, monkeypatch):
    monkeypatch.setattr(changes, "TICK_NS", 0)
    opener()
    place(opener, 0, 0).unlink()
    monkeypatch.setattr(store, "_free", lambda job: 100)
    monkeypatch.setattr(store, "_check_disk", lambda *_: None)
    assert opener().present.all() and agrees(opener)
    assert any("no room for a copy of 23 images; packing anew" in line for line in opener.lines)


def test_a_store_of_another_version_is_packed_anew(opener, monkeypatch):
    monkeypatch.setattr(store_files, "VERSION", 3)
    opener()
    monkeypatch.undo()
    assert opener().present.all() and agrees(opener)
    assert any("made by another version of this program" in line for line in opener.lines)


def test_a_store_that_has_turned_tiffs_is_packed_anew(opener, monkeypatch):
    """It was decoded by a program that scrambled them; any other is as it would be now."""
    monkeypatch.setattr(store_files, "VERSION", store_files.BEFORE_TURNED_TIFFS)
    opener()
    monkeypatch.undo()
    assert opener().present.all() and not any("packing anew" in line for line in opener.lines)
    Image.open(place(opener, 0, 3)).save(place(opener, 0, 3).with_suffix(".TIF"))
    assert opener().present.all() and agrees(opener)
    assert any("made by another version of this program" in line for line in opener.lines)
    count = len(opener.lines)
    assert opener().present.all() and len(opener.lines) == count


def test_only_the_note_is_lost_where_nothing_can_be_written(opener, monkeypatch):
    opener()

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "locked", refuse)
    assert opener().images.shape == (24, SIZE, SIZE, 3)


@pytest.mark.parametrize("pixels, found", [([1, 2], [-1, -1]), ([1, 1], [0, 0])])
def test_files_that_crc32_does_not_tell_apart_are_decoded_anew(pixels, found):
    """Of one size, as many pictures without compression are; copies are no such files."""
    keys = np.array([[k if column == changes.INODE else 7 for column in range(5)] for k in (10, 11)])
    moved = keys[:, :4].copy()
    moved[:, changes.INODE] += 10
    source = SimpleNamespace(keys=moved, content=lambda row: 7)
    assert changes.origins(source, keys, np.array(pixels), 0, 1, print).tolist() == found
