"""Where undecoded images come from: arrays, folders, ImageNet's tar read in place; decoding one.

A source has `labels` int64 (N,), -1 for none; `classes`, names by label; `fingerprint`, hex digest
of its listing; `watched`, {path: mtime_ns noted before it was listed}; `name(i)` for messages;
`read(i)`, a PIL image or a uint8 (H, W, 3) array. It can be pickled.
"""

import hashlib
import io
import os
import tarfile
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


class ArraySource:
    """Images that are decoded already.

    Args: images: uint8 (N, H, W, 3). labels: integers (N,). classes: names by label.
    Raises: ValueError for another dtype or shape.
    """

    def __init__(self, images, labels, classes):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images are {images.dtype} {images.shape}, not uint8 (N, H, W, 3)")
        if len(images) != len(labels) or not len(images):
            raise ValueError(f"{len(images)} images with {len(labels)} labels")
        self.images, self.labels = images, np.asarray(labels, dtype=np.int64)
        self.classes, self.watched = tuple(classes), {}

    @cached_property
    def fingerprint(self):
        digest = hashlib.blake2b(repr((self.images.shape, self.classes)).encode(), digest_size=16)
        digest.update(self.labels)
        digest.update(np.ascontiguousarray(self.images))
        return digest.hexdigest()

    def name(self, i):
        return f"image {i}"

    def read(self, i):
        return self.images[i]


class FolderSource:
    """Image files in folders, hidden ones (.name) left out; see `labelled` and `unlabelled`."""

    def __init__(self, root, files, sizes, labels, classes, watched):
        self.root, self.files, self.sizes = Path(root), files, sizes
        self.labels, self.classes, self.watched = labels, classes, watched

    @classmethod
    def labelled(cls, root, classes=None):
        """List root/<class>/<image>, classes and files in the order of their names.

        Args: classes: names by label where another split sets them; folders may be missing, none
            may be new.
        Raises: FileNotFoundError without class folders, ValueError for an empty or unknown one.
        """
        watched, listed = {}, []
        folders = _scan(root, watched)[1] if os.path.isdir(root) else []
        if not folders:
            raise FileNotFoundError(f"no class folders in {root}: expected {root}/<class>/*.jpg "
                                    "(or .png, .webp, ...)")
        classes = tuple(folders) if classes is None else tuple(classes)
        label_of = {name: label for label, name in enumerate(classes)}
        for folder in folders:
            path = os.path.join(root, folder)
            if folder not in label_of:
                raise ValueError(f"{path}: '{folder}' is not among the {len(classes)} classes of "
                                 "the training images; remove it or add it there")
            found = _scan(path, watched)[0]
            if not found:
                raise ValueError(f"{path}: class folder without images ({_known()}); "
                                 "add some or remove it")
            listed += [(f"{folder}/{name}", size, label_of[folder]) for name, size in found]
        files, sizes, labels = zip(*listed)
        return cls(root, files, sizes, np.array(labels, dtype=np.int64), classes, watched)

    @classmethod
    def unlabelled(cls, root):
        """List the images at any depth below root, in the order of their paths; every label is -1.

        Links to folders are followed; a folder reached twice counts once.
        Raises: FileNotFoundError without any image.
        """
        watched, listed, seen, pending = {}, [], set(), [""]
        while pending and os.path.isdir(root):
            inside = pending.pop()
            path = os.path.join(root, inside)
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            files, folders = _scan(path, watched)
            listed += [(inside + name, size) for name, size in files]
            pending += [f"{inside}{name}/" for name in reversed(folders)]
        if not listed:
            raise FileNotFoundError(f"no images in {root}: expected some ({_known()}) there, "
                                    "at any depth")
        files, sizes = zip(*sorted(listed))
        return cls(root, files, sizes, np.full(len(files), -1, dtype=np.int64), (), watched)

    @cached_property
    def fingerprint(self):
        return _digest(self.classes, self.files, self.sizes)

    def name(self, i):
        return os.path.join(self.root, self.files[i])

    def read(self, i):
        return Image.open(os.path.join(self.root, self.files[i]))


class TarSource:
    """The official ILSVRC2012_img_train.tar, a tar of one tar a class, read in place.

    It is listed at its first use, which takes minutes; `cache_in` keeps the listing between starts.
    Names, labels and fingerprint are those of the folder that unpacking gives.
    Raises: FileNotFoundError; at the listing ValueError for a truncated or other tar.
    """

    def __init__(self, path):
        self.path, self.index, self._file = Path(path), None, None
        if not self.path.is_file():
            raise FileNotFoundError(f"no file {path}: expected ILSVRC2012_img_train.tar there")
        status = os.stat(path)
        self.watched = {os.path.abspath(path): status.st_mtime_ns}
        self._made_from = np.array([status.st_size, status.st_mtime_ns])

    def __getstate__(self):
        return {**self.__dict__, "_file": None}

    def cache_in(self, folder):
        """Read the listing from this folder where it was kept, or keep it there once it is made."""
        self.index = Path(folder) / "tar-index.npz"

    @cached_property
    def _members(self):
        kept = self._kept_members()
        if kept is not None:
            return kept
        try:
            members = sorted(_tar_members(self.path))
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{self.path}: truncated, or no tar of class tars ({error}); "
                             "download it again") from error
        if not members:
            raise ValueError(f"{self.path}: no class tars with images in it; expected "
                             "ILSVRC2012_img_train.tar")
        folders, names, offsets, sizes = zip(*members)
        files = [f"{folder}/{name}" for folder, name in zip(folders, names)]
        if self.index is not None:
            text = np.frombuffer("\n".join(files).encode(), dtype=np.uint8)
            with open(self.index, "wb") as file:
                np.savez(file, made_from=self._made_from, files=text, offsets=offsets, sizes=sizes)
        return files, np.array(offsets), np.array(sizes)

    def _kept_members(self):
        try:
            with np.load(self.index or "") as kept:
                if np.array_equal(kept["made_from"], self._made_from):
                    files = kept["files"].tobytes().decode().split("\n")
                    return files, kept["offsets"], kept["sizes"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @cached_property
    def classes(self):
        return tuple(sorted({file.split("/")[0] for file in self._members[0]}))

    @cached_property
    def labels(self):
        label_of = {name: label for label, name in enumerate(self.classes)}
        folders = (file.split("/")[0] for file in self._members[0])
        return np.array([label_of[folder] for folder in folders], dtype=np.int64)

    @cached_property
    def fingerprint(self):
        files, _, sizes = self._members
        return _digest(self.classes, files, sizes)

    def name(self, i):
        return f"{self.path}:{self._members[0][i]}"

    def read(self, i):
        if self._file is None:
            self._file = open(self.path, "rb", buffering=0)
        _, offsets, sizes = self._members
        content = os.pread(self._file.fileno(), int(sizes[i]), int(offsets[i]))
        return Image.open(io.BytesIO(content))


def decode(source, i, size):
    """Decode one image: upright, RGB, scaled to cover the square (bicubic, antialiased), centred.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where both sides stay >= size. An image of the
    very size keeps its pixels. Of an animation the first frame counts; alpha is dropped; 16-bit
    values keep their upper eight bits.
    Returns: uint8 (size, size, 3).
    Raises: ValueError "<name>: not a readable image (<reason>)".
    """
    try:
        image = source.read(i)
        if isinstance(image, np.ndarray):
            if image.shape == (size, size, 3):
                return image
            image = Image.fromarray(image)
        with image:
            return np.array(_square(image, size))
    except Exception as error:  # the decoders of broken files fail in ways beyond counting
        name = source.name(i).encode("utf-8", "backslashreplace").decode()
        raise ValueError(f"{name}: not a readable image ({_reason(error)})") from error


def _square(image, size):
    image.draft(None, (size, size))
    image = _rgb(ImageOps.exif_transpose(image))
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box)


def _rgb(image):
    if image.mode.startswith("I"):  # convert() would clip 16-bit values at 255
        values = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        image = Image.fromarray(values.astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def _reason(error):
    if isinstance(error, UnidentifiedImageError):
        return "empty, or of no known image format"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def _scan(folder, watched):
    """Sorted [(image name, bytes)] and folder names of a folder, after noting its mtime."""
    watched[os.path.abspath(folder)] = os.stat(folder).st_mtime_ns
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif entry.name.lower().endswith(SUFFIXES):
                files.append((entry.name, _bytes(entry)))
    return sorted(files), sorted(folders)


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _bytes(entry):
    try:
        return entry.stat().st_size
    except OSError:  # a broken link: reading it will name it
        return -1


def _tar_members(path):
    """Yield (class, file name, offset in the outer tar, bytes) of the images in a tar of tars."""
    with tarfile.open(path, "r:") as outer:
        for class_tar in outer:
            if not (class_tar.isfile() and class_tar.name.endswith(".tar")):
                continue
            folder = os.path.basename(class_tar.name).removesuffix(".tar")
            with tarfile.open(fileobj=outer.extractfile(class_tar), mode="r:") as inner:
                for member in inner:
                    name = os.path.basename(member.name)
                    hidden = name.startswith(".")
                    if member.isfile() and name.lower().endswith(SUFFIXES) and not hidden:
                        yield folder, name, class_tar.offset_data + member.offset_data, member.size


def _digest(classes, files, sizes):
    digest = hashlib.blake2b(repr(tuple(classes)).encode(), digest_size=16)
    for file, size in zip(files, sizes):
        digest.update(f"{file}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _known():
    return ", ".join(suffix[1:] for suffix in SUFFIXES)
