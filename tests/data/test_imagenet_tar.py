"""ImageNet's tar of tars, read in place."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from data.imagenet_tar import TarSource
from data.listing import UNKNOWN
from data.sources import FolderSource, decode
from data.store import open_store
from tests.data.made import picture, write


def make_tar(classes_folder, path):
    """What ImageNet ships: a tar of one tar a class, neither in order."""
    with tarfile.open(path, "w") as outer:
        for folder in sorted(classes_folder.iterdir(), reverse=True):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as inner:
                for file in sorted(folder.iterdir(), reverse=True):
                    inner.add(file, file.name)
            member = tarfile.TarInfo(f"{folder.name}.tar")
            member.size = content.tell()
            content.seek(0)
            outer.addfile(member, content)
    return path


def test_tar_of_tars_equals_the_folder(classes_folder, tmp_path):
    folder = FolderSource.labelled(classes_folder)
    tar = TarSource(make_tar(classes_folder, tmp_path / "train.tar"))
    assert tar.classes == folder.classes and tar.fingerprint == folder.fingerprint
    np.testing.assert_array_equal(tar.labels, folder.labels)
    for source in (tar, pickle.loads(pickle.dumps(tar)), pickle.loads(pickle.dumps(folder))):
        for i in range(9):
            np.testing.assert_array_equal(decode(source, i, 16), decode(folder, i, 16))
    assert tar.name(0) == f"{tmp_path / 'train.tar'}:ape/0.png"


def test_a_store_of_the_tar_knows_the_files_of_the_folder(classes_folder, tmp_path):
    """Whatever size they are stored at, and after the tar has changed, too."""
    def opened(name, size, make_source, **options):
        return open_store(tmp_path / name, make_source, size, workers=1, say=lambda line: None, **options)

    path, folder = tmp_path / "train.tar", opened("folder", 16, lambda: FolderSource.labelled(classes_folder))
    assert len(set(folder.contents.tolist())) > 1 and (folder.contents > 0).all()
    for pixels in (None, picture(seed=7), None):
        if pixels is not None:
            write(classes_folder / "ape" / "00.png", pixels)
        make_tar(classes_folder, path)
        tar = opened("tar", 8, lambda: TarSource(path), watched=[path])
        folder = opened("folder", 16, lambda: FolderSource.labelled(classes_folder))
        np.testing.assert_array_equal(tar.contents, folder.contents)
        for row, image in enumerate(tar.images):
            np.testing.assert_array_equal(image, decode(FolderSource.labelled(classes_folder), row, 8))


def test_what_cannot_be_read_in_the_tar_has_no_known_content(classes_folder, tmp_path):
    tar = TarSource(make_tar(classes_folder, tmp_path / "train.tar"))
    assert tar.labels is not None
    tar.path.unlink()
    assert tar.content(0) == UNKNOWN


def test_tar_listing_is_kept_until_the_tar_changes(classes_folder, tmp_path, monkeypatch):
    path = make_tar(classes_folder, tmp_path / "train.tar")
    first = TarSource(path)
    first.cache_in(tmp_path)
    first.fingerprint
    monkeypatch.setattr("data.imagenet_tar._tar_members", lambda *_: pytest.fail("scanned again"))
    again = TarSource(path)
    again.cache_in(tmp_path)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(decode(again, 5, 16), decode(first, 5, 16))
    monkeypatch.undo()
    write(classes_folder / "ape" / "9.png", picture())
    changed = TarSource(make_tar(classes_folder, path))
    changed.cache_in(tmp_path)
    assert len(changed.labels) == 10


@pytest.mark.parametrize("damage", ["cut", "text", "plain", "missing"])
def test_no_imagenet_tar(damage, classes_folder, tmp_path):
    path = make_tar(classes_folder, tmp_path / "train.tar")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("not a tar " * 200)
    elif damage == "plain":
        with tarfile.open(path, "w") as outer:
            outer.add(classes_folder, "train")
    else:
        path.unlink()
    error = FileNotFoundError if damage == "missing" else ValueError
    with pytest.raises(error, match="train.tar[^\n]*$"):
        TarSource(path).labels


def test_what_is_no_image_in_the_tar_is_named(classes_folder, tmp_path):
    for name in ("notes.txt", ".DS_Store", "phone.heic"):
        (classes_folder / "bee" / name).write_text("no image")
    (classes_folder / "bee" / "scan").write_bytes((classes_folder / "bee" / "0.png").read_bytes())
    folder = FolderSource.labelled(classes_folder)
    path = make_tar(classes_folder, tmp_path / "train.tar")
    for _ in range(2):  # listed, then read from the listing that was kept
        tar = TarSource(path)
        tar.cache_in(tmp_path / "kept")
        assert tar.classes == folder.classes and tar.fingerprint == folder.fingerprint and len(tar.labels) == 10
        assert tar.remark == (f"{path}: 2 files are no images and left out (1 .heic, 1 .txt), the first is "
                              "bee/notes.txt; Pillow cannot read .heic: convert such pictures to PNG or JPEG")


def test_names_of_any_kind_come_back_from_the_listing(classes_folder, tmp_path):
    (classes_folder / "bee" / "0.png").rename(classes_folder / "bee" / "two\nlines\t.png")
    (classes_folder / "bee" / "1.JPG").rename(classes_folder / "bee" / "caf\udce9.jpg")
    path = make_tar(classes_folder, tmp_path / "train.tar")
    sources = []
    for _ in range(2):
        sources.append(TarSource(path))
        sources[-1].cache_in(tmp_path)
    first, again = sources
    assert again.fingerprint == first.fingerprint == FolderSource.labelled(classes_folder).fingerprint
    assert [again.name(i) for i in range(9)] == [first.name(i) for i in range(9)]
    assert f"{path}:bee/two\nlines\t.png" in [again.name(i) for i in range(9)]
