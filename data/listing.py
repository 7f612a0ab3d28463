"""Which files below a folder are images, and one line about those that are not."""

import os
import time
from array import array
from collections import Counter
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from records.names import printable

# Registered with Pillow, but not pictures that it can draw by itself: EPS runs a PostScript program
# in Ghostscript, WMF needs Windows, BUFR, GRIB and HDF5 another library, and of a film not one
# frame is decoded.
NOT_DRAWN = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
# What people keep pictures in and Pillow does not read, so that the line about them says it.
UNREAD_PICTURES = set(".heic .heif .hif .jxl .exr .hdr .svg .svgz .pdf .eps .ps .ai .wmf .emf .psb "
                      ".xcf .dcm .nii .npy .raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf".split())
# Made by an operating system, a file server or an archive, with thumbnails of images in them.
SYSTEM_FOLDERS = {"__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information",
                  "__pycache__"}

ENDINGS_NAMED = 4  # in one line

# The columns of a file's key, which is another one when the file is. A copy may have its original's
# size and times, and a name may lead to another file: then the inode is another. mtime can be set,
# ctime cannot, but it changes with the name, too.
SIZE, MTIME, CTIME, INODE = range(4)  # bytes, ns since 1970, ns since 1970
UNKNOWN = -1  # in all columns: of a broken link, and of what is no file of its own
_INT64 = 2 ** 63 - 1


@cache
def formats():
    """Pillow's names of what may be opened, whatever the ending says."""
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in NOT_DRAWN)


@cache
def suffixes():
    """The endings, in lower case, of what this Pillow decodes."""
    known = {*formats(), "MPO"}  # written by a plugin of its own, opened by that of JPEG
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items()
                     if kind in known)


def is_image(name, head, *place):
    """Whether a file counts as an image: by its ending or, where it has none, by its content.

    Args: head: place -> its first bytes, asked only where the name has no ending; a number is none.
    """
    named = _names_an_image(name.rpartition(".")[2] if "." in name else "")
    return _begins_like_an_image(head(*place)) if named is None else named


@lru_cache  # of a bounded size: there may be many endings
def _names_an_image(ending):
    """Args: ending: without its dot. Returns: None where it is none."""
    return f".{ending.lower()}" in suffixes() if ending and not ending.isdigit() else None


def _begins_like_an_image(head):
    return (head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*"))
            or head[:4] + head[8:12] == b"RIFFWEBP" or head[4:12] == b"ftypavif"
            or head[:2] + head[6:10] == b"BM\0\0\0\0")


def class_folders(root):
    """Sorted names of the folders in a folder that may be classes; asks for nothing of its files.

    Raises: OSError where it cannot be listed.
    """
    return sorted(entry.name for entry in _entries(root)
                  if _is_folder(entry) and entry.name.lower() not in SYSTEM_FOLDERS)


class Walk:
    """A way through the folders below a root. Hidden files and folders (.name) are left out without
    a word, others that are no images are remembered.

    Args: apart: paths of folders that are not entered.
    Attributes: folders: paths of those seen. listed_ns: time before it began, ns since 1970.
    """

    def __init__(self, root, apart=()):
        self.root, self.folders, self.listed_ns = os.fspath(root), [], time.time_ns()
        self._files, self._folders = [], []  # left out
        self._apart = {os.path.abspath(path) for path in apart}

    def images(self, inside=""):
        """The images at any depth below a folder: (sorted paths from the root, int64 (N, 4) keys).

        Links to folders are followed, but not to one above; a folder reached twice counts once.
        """
        found, keys, pending = [], array("q"), [inside]
        above = Path(self.root).resolve()
        seen = {_identity(folder) for folder in above.parents}
        if inside:
            seen.add(_identity(above))
        while pending:
            inside = pending.pop()
            identity = _identity(os.path.join(self.root, inside))
            if identity in seen:
                continue
            seen.add(identity)
            names, folders = self.scan(inside, keys)
            start = f"{inside}/" if inside else ""
            found += [start + name for name in names]
            pending += [start + name for name in reversed(folders)]
        order = sorted(range(len(found)), key=found.__getitem__)
        keys = np.array(keys, dtype=np.int64).reshape(-1, INODE + 1)
        return [found[k] for k in order], keys[order]

    def scan(self, inside, keys):
        """One folder: its images' names, sorted names of its folders.

        Args: keys: array that takes the images' keys, one after the other.
        Raises: OSError where it cannot be listed.
        """
        path = os.path.join(self.root, inside) if inside else self.root
        self.folders.append(os.path.abspath(path))
        names, folders, start = [], [], f"{inside}/" if inside else ""
        for entry in _entries(path):
            name = entry.name
            if _is_folder(entry):
                if name.lower() in SYSTEM_FOLDERS:
                    self._folders.append(start + name)
                elif os.path.abspath(entry.path) not in self._apart:
                    folders.append(name)
            elif _can_be_read(entry) and is_image(name, _head, entry.path):
                names.append(name)
                keys.extend(_key(entry))
            else:
                self._files.append(start + name)
        return names, sorted(folders)

    def remark(self, loose=0):
        """A line about what was left out, "" for nothing. Args: loose: images beside classes."""
        parts = [left_out(self._files)] if self._files else []
        if self._folders:
            first = f"{len(self._folders)} folders of the system are left out, the first is"
            only = "a folder of the system is left out:"
            parts.append(f"{first if len(self._folders) > 1 else only} {min(self._folders)}")
        if loose:
            parts.append("left out for want of a label, beside the class folders: "
                         f"{loose} image{'s' * (loose > 1)}")
        return printable(f"{self.root}: {'; '.join(parts)}") if parts else ""

    def endings(self, inside):
        """What the files that were left out of a folder are, e.g. "2 .heic, 1 .txt"."""
        return _endings(file for file in self._files if file.startswith(f"{inside}/"))


def left_out(files):
    """Say in a few words which files are no images. Args: files: their paths, at least one."""
    if len(files) == 1:
        text = f"1 file is no image and left out: {files[0]}"
    else:
        text = (f"{len(files)} files are no images and left out ({_endings(files)}), the first is "
                f"{min(files)}")
    unread = sorted({_ending(file) for file in files} & UNREAD_PICTURES)
    if unread:
        text += f"; Pillow cannot read {', '.join(unread)}: convert such pictures to PNG or JPEG"
    return text


def _endings(files):
    counts = Counter(_ending(file) for file in files)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{count} {ending}" for ending, count in ordered[:ENDINGS_NAMED]]
    others = sum(count for _, count in ordered[ENDINGS_NAMED:])
    return ", ".join(texts + [f"{others} others"] * (others > 0))


def _ending(file):
    return os.path.splitext(file)[1].lower() or "without ending"


def _entries(folder):
    try:
        with os.scandir(folder) as entries:
            # .name.icloud: a picture that macOS has moved away from this disk
            return [entry for entry in entries if not entry.name.startswith(".") or entry.name.endswith(".icloud")]
    except OSError as error:
        raise OSError(f"{printable(folder)}: cannot be listed ({error.strerror}); make it "
                      "readable or take it away") from error


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _can_be_read(entry):
    """Not a pipe or a device, which may never end; a broken link is kept: reading it names it."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True


def _head(path):
    try:
        with open(path, "rb") as file:
            return file.read(12)
    except OSError:
        return b""


def _key(entry):
    try:
        status = entry.stat()
    except OSError:  # a broken link
        return (UNKNOWN,) * (INODE + 1)
    return _columns(status) if status.st_ino else key_of(entry.path)  # Windows tells it of a path


def key_of(path):
    """The key of a file, all UNKNOWN of a broken link."""
    try:
        return _columns(os.stat(path))
    except OSError:
        return (UNKNOWN,) * (INODE + 1)


def _columns(status):
    return (status.st_size, status.st_mtime_ns & _INT64, status.st_ctime_ns & _INT64,
            status.st_ino & _INT64)
