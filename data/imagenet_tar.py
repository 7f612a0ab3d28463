"""ImageNet's training images as they are shipped: a tar of one tar a class, read in place."""

import io
import os
import tarfile
import zipfile
import zlib
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.listing import UNKNOWN, formats, is_image, left_out
from data.sources import Undivided, digest
from data.store_files import fingerprint, writing
from records.files import whole
from records.names import printable


class TarSource(Undivided):
    """The official ILSVRC2012_img_train.tar, a tar of one tar a class, read in place.

    It is listed at its first use, which takes minutes; `cache_in` keeps the listing between starts.
    Names, labels and fingerprint are those of the folder that unpacking gives.
    Raises: FileNotFoundError; at the listing ValueError for a truncated or other tar.
    """

    def __init__(self, path):
        self.path, self.index, self._file = Path(path), None, None
        if not self.path.is_file():
            raise FileNotFoundError(f"no file {printable(path)}: expected the official "
                                    "ILSVRC2012_img_train.tar there")
        status = os.stat(path)
        self._made_from = np.array([status.st_size, status.st_mtime_ns])

    def __getstate__(self):
        return {**self.__dict__, "_file": None}

    def cache_in(self, folder):
        """Read the listing from this folder where it was kept, or keep it there once it is made."""
        self.index = Path(folder) / "tar-index.npz"

    @cached_property
    def _listing(self):
        """(files "class/name", offsets in the outer tar, bytes, what was left out in words)."""
        kept = self._kept_listing()
        if kept is not None:
            return kept
        others = []
        try:
            members = sorted(_tar_members(self.path, others))
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{printable(self.path)}: truncated, or no tar of class tars "
                             f"({error}); download it again") from error
        if not members:
            raise ValueError(f"{printable(self.path)}: no class tars with images in it; expected "
                             "ILSVRC2012_img_train.tar")
        folders, names, offsets, sizes = zip(*members)
        files = [f"{folder}/{name}" for folder, name in zip(folders, names)]
        remark = printable(f"{self.path}: {left_out(others)}") if others else ""
        listing = files, np.array(offsets), np.array(sizes), remark
        self._keep(*listing)
        return listing

    def _keep(self, files, offsets, sizes, remark):
        if self.index is None:
            return
        with writing(self.index.parent):
            self.index.parent.mkdir(parents=True, exist_ok=True)
            with whole(self.index, "wb") as file:
                np.savez(file, made_from=self._made_from, names=_bytes("\0".join(files)),
                         offsets=offsets, sizes=sizes, remark=_bytes(remark))

    def _kept_listing(self):
        try:
            with np.load(self.index or "") as kept:
                if np.array_equal(kept["made_from"], self._made_from):
                    return (_text(kept["names"]).split("\0"), kept["offsets"], kept["sizes"],
                            _text(kept["remark"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @property
    def remark(self):
        return self._listing[3]

    @cached_property
    def classes(self):
        return tuple(sorted({file.split("/")[0] for file in self._listing[0]}))

    @cached_property
    def labels(self):
        label_of = {name: label for label, name in enumerate(self.classes)}
        folders = (file.split("/")[0] for file in self._listing[0])
        return np.array([label_of[folder] for folder in folders], dtype=np.int64)

    @cached_property
    def fingerprint(self):
        files, _, sizes, _ = self._listing
        return digest(self.classes, files, sizes)

    def name(self, i):
        return f"{self.path}:{self._listing[0][i]}"

    def content(self, i):
        """All of what `data.store_files.fingerprints` makes of the unpacked file."""
        try:
            content = self._bytes_of(i)
        except OSError:
            return UNKNOWN
        return int(fingerprint(len(content), zlib.crc32(content)))

    def read(self, i):
        return Image.open(io.BytesIO(self._bytes_of(i)), formats=formats())

    def _bytes_of(self, i):
        if self._file is None:
            self._file = open(self.path, "rb", buffering=0)
        _, offsets, sizes, _ = self._listing
        return os.pread(self._file.fileno(), int(sizes[i]), int(offsets[i]))


def _tar_members(path, others):
    """Yield (class, file name, offset in the outer tar, bytes) of the images in a tar of tars.

    Args: others: list that takes the names of what is no image, hidden files aside.
    """
    with tarfile.open(path, "r:") as outer:
        for class_tar in outer:
            if not (class_tar.isfile() and class_tar.name.endswith(".tar")):
                continue
            folder = os.path.basename(class_tar.name).removesuffix(".tar")
            with tarfile.open(fileobj=outer.extractfile(class_tar), mode="r:") as inner:
                for member in inner:
                    name = os.path.basename(member.name)
                    if member.isdir() or name.startswith("."):
                        continue
                    start = partial(_head, inner, member)
                    if member.isfile() and is_image(name, start):
                        yield folder, name, class_tar.offset_data + member.offset_data, member.size
                    else:
                        others.append(f"{folder}/{name}")


def _head(tar, member):
    return tar.extractfile(member).read(12)


def _bytes(text):
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _text(array):
    return array.tobytes().decode("utf-8", "surrogateescape")
