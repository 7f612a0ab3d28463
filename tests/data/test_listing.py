"""Which files are images, at any depth, and the one line about those that are not."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

from data import listing
from data.listing import class_folders, suffixes
from data.sources import FolderSource
from data.store import open_store
from records.names import printable
from tests.data.made import picture, write


def image(path):
    return write(path, picture(8, 8))


def listed(root):
    return list(FolderSource.labelled(root).files)


@pytest.fixture
def root(tmp_path):
    for name in "ab":
        image(tmp_path / "train" / name / "0.png")
    return tmp_path / "train"


def test_pictures_that_have_been_moved_into_a_cloud_are_told(root):
    """As macOS does to make room; hidden files go without a word."""
    for name in (".dog.png.icloud", ".hidden.png"):
        (root / "a" / name).write_bytes(b"bplist00")
    assert FolderSource.labelled(root).remark == f"{root}: 1 file is no image and left out: a/.dog.png.icloud"


def test_what_pillow_decodes_is_an_image(root):
    Image.init()
    colours = Image.fromarray(picture(8, 8))
    for suffix in ("jfif", "jpe", "jp2", "tga", "pgm", "pcx", "dib", "ico", "sgi", "qoi", "apng", "mpo"):
        kind = {"apng": "PNG"}.get(suffix)
        (colours.convert("L") if suffix == "pgm" else colours).save(root / "a" / f"x.{suffix}", kind)
    found = [os.path.splitext(file)[1] for file in listed(root)]
    assert len(found) == 2 + 12 and FolderSource.labelled(root).remark == ""
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"} <= suffixes()


def test_documents_films_and_data_are_no_images():
    assert not {".pdf", ".eps", ".ps", ".wmf", ".emf", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr",
                ".txt"} & suffixes()


def test_a_file_without_ending_counts_by_its_content(root):
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"):
        Image.fromarray(picture(8, 8)).save(root / "a" / f"as-{kind}", kind)
    (root / "a" / "README").write_text("GI BM II no image")
    (root / "a" / "empty").touch()
    Image.fromarray(picture(8, 8)).save(root / "a" / "x.backup", "PNG")
    source = FolderSource.labelled(root)
    assert len(source.files) == 2 + 7 and "a/README" not in source.files
    assert source.remark == (f"{root}: 3 files are no images and left out (2 without ending, 1 .backup), "
                             "the first is a/README")


def test_numbers_are_no_endings_and_many_endings_stay_one_short_line(root):
    Image.fromarray(picture(8, 8)).save(root / "a" / "frame.0001", "JPEG")
    for k in range(50):
        (root / "b" / f"x.part{k}").touch()
    source = FolderSource.labelled(root)
    assert "a/frame.0001" in source.files
    assert "(1 .part0, 1 .part1, 1 .part10, 1 .part11, 46 others)" in source.remark


def test_what_is_left_out_is_named_once(root):
    (root / "a" / "notes.txt").write_text("no image")
    assert FolderSource.labelled(root).remark == f"{root}: 1 file is no image and left out: a/notes.txt"
    (root / "b" / "Thumbs.db").touch()
    (root / "b" / ".DS_Store").touch()
    (root / "b" / "._0.png").touch()
    assert FolderSource.labelled(root).remark == (
        f"{root}: 2 files are no images and left out (1 .db, 1 .txt), the first is a/notes.txt")
    assert "2 files are no images" in FolderSource.unlabelled(root).remark


def test_it_is_said_at_the_listing_and_not_again(root, tmp_path):
    (root / "a" / "notes.txt").write_text("no image")
    lines = []

    def start(**options):
        open_store(tmp_path / "store", lambda: FolderSource.labelled(root), 8, workers=2, say=lines.append, **options)
        found = [line for line in lines if "left out" in line]
        lines.clear()
        return found

    assert start(rows=[0]) == [f"{root}: 1 file is no image and left out: a/notes.txt"]
    assert start(rows=[0]) == start() == []
    image(root / "a" / "1.png")
    assert start() == []
    (root / "b" / "more.csv").touch()
    assert len(start()) == 1


def test_pictures_that_pillow_cannot_read_are_called_so(root):
    for name in ("IMG_1.HEIC", "IMG_2.heic", "raw.nef", "notes.txt"):
        (root / "b" / name).touch()
    remark = FolderSource.labelled(root).remark
    assert "(2 .heic, " in remark
    assert remark.endswith("Pillow cannot read .heic, .nef: convert such pictures to PNG or JPEG")
    (root / "phone").mkdir()
    (root / "phone" / "IMG_1.heic").touch()
    with pytest.raises(ValueError, match=r"train/phone: class folder without images \(it has 1 \.heic, which"):
        FolderSource.labelled(root)


def test_images_beside_the_class_folders_are_named(root):
    image(root / "loose.png")
    source = FolderSource.labelled(root)
    assert len(source.files) == 2
    assert source.remark == f"{root}: left out for want of a label, beside the class folders: 1 image"


def test_folders_below_a_class_belong_to_it(root):
    image(root / "a" / "monday" / "late" / "1.png")
    image(root / "a" / "named.png" / "2.png")
    (root / "a" / "nothing").mkdir()
    source = FolderSource.labelled(root)
    assert list(source.files) == ["a/0.png", "a/monday/late/1.png", "a/named.png/2.png", "b/0.png"]
    assert source.classes == ("a", "b") and source.labels.tolist() == [0, 0, 0, 1]
    below = {root, *(path for path in root.rglob("*") if path.is_dir())}
    assert set(source.folders) == set(map(str, below))


def test_an_image_added_below_a_class_is_noticed(root, tmp_path):
    image(root / "a" / "sub" / "1.png")

    def start():
        return open_store(tmp_path / "store", lambda: FolderSource.labelled(root), 8, workers=1, say=lambda line: None)

    assert len(start().labels) == 3
    image(root / "a" / "sub" / "2.png")
    assert len(start().labels) == 4


def test_links_are_followed_but_not_upwards(root, tmp_path):
    image(tmp_path / "elsewhere" / "y.png")
    image(tmp_path / "test" / "b" / "secret.png")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "more").symlink_to(tmp_path / "elsewhere")
    for name, target in (("up", root), ("further", tmp_path), ("self", root / "a"), ("twice", tmp_path / "elsewhere")):
        (root / "a" / name).symlink_to(target)
    assert listed(root) == ["a/0.png", "a/more/y.png", "b/0.png", "c/y.png"]


def test_pipes_sockets_and_devices_are_not_opened(root, monkeypatch):
    os.mkfifo(root / "a" / "pipe.png")
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    monkeypatch.setattr(listing, "_head", lambda path: pytest.fail(f"opened {path}"))
    monkeypatch.chdir(root / "a")  # the name of a socket has a limit
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        source = FolderSource.labelled(root)
    assert list(source.files) == ["a/0.png", "b/0.png"]
    assert "4 files are no images and left out" in source.remark


def test_folders_of_the_system_are_no_classes(root):
    for name in ("__MACOSX", "@eaDir", "lost+found", "a/@eaDir"):
        image(root / name / "thumbnail.png")
    image(root / ".ipynb_checkpoints" / "0-checkpoint.png")
    source = FolderSource.labelled(root)
    assert source.classes == ("a", "b") == tuple(class_folders(root)) and len(source.files) == 2
    assert source.remark == f"{root}: 4 folders of the system are left out, the first is @eaDir"


def test_names_that_differ_in_case_only(root):
    image(root / "a" / "X.png")
    image(root / "a" / "x.PNG")
    image(root / "A" / "x.png")
    source = FolderSource.labelled(root)
    assert source.classes == ("A", "a", "b") and len(source.files) == 5


def test_a_folder_that_cannot_be_listed_is_named(root, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    with pytest.raises(OSError, match=rf"^{root}: cannot be listed \(Permission denied\); make it [^\n]*$"):
        FolderSource.labelled(root)


def test_very_deep_folders(root):
    deep = root / "a" / "/".join(["d"] * 300)
    image(deep / "x.png")
    assert len(listed(root)) == 3


ODD = ["$x_1$", "two\nlines", "tab\there", "'quoted\" `name`", "n" * 200, "אבג‮", "👩‍🔬", "%s {0}", "a\\b",
       os.fsdecode(b"caf\xe9"), "\x1b[31mred", "a,b;c"]


def test_names_of_any_kind_go_through_the_store(tmp_path):
    for k, name in enumerate(ODD):
        write(tmp_path / "train" / name / f"{name}.png", np.full((8, 8, 3), k, dtype=np.uint8))
        (tmp_path / "train" / name / f"{name}.jpg").write_bytes(b"broken")
    lines, store = [], tmp_path / os.fsdecode(b"store\n\xe9")

    def start():
        return open_store(store, lambda: FolderSource.labelled(tmp_path / "train"), 8, workers=1,
                          max_bad_images=99, say=lines.append)

    start()
    again = start()
    assert again.classes == tuple(sorted(ODD)) and int(again.present.sum()) == len(ODD)
    for row in np.flatnonzero(again.present):
        assert again.images[row, 0, 0, 0] == ODD.index(again.classes[again.labels[row]])
    bad = (store / "bad.txt").read_bytes().decode("utf-8").splitlines()
    assert len(bad) == len(ODD) and all("not a readable image (" in line for line in bad)
    for line in lines:
        assert len(line.splitlines()) == 1 and line.encode("utf-8") and printable(line) == line


def test_a_class_without_images_is_one_line_whatever_its_name(tmp_path):
    (tmp_path / "two\nlines" / os.fsdecode(b"caf\xe9")).mkdir(parents=True)
    with pytest.raises(ValueError) as error:
        FolderSource.labelled(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/two\\nlines: class folder without images (it is empty)")


def test_what_is_shown_can_be_read_by_people():
    assert printable("Zoë's 猫 $1") == "Zoë's 猫 $1" and printable("a\nb\t\x1b\udce9") == r"a\nb\t\x1b\udce9"
