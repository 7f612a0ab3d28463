"""Where undecoded images come from: arrays or folders; decoding one.

A source has `labels` int64 (N,), -1 for none; `classes`, names by label; `fingerprint`, hex digest
of its listing; `keys` int64 (N, 4), see data.listing, all UNKNOWN where the fingerprint tells
every change; `listed_ns`, the time before it was listed; `content(i)`, crc32 of a file's bytes,
without a key an item of data.store_files.fingerprints, UNKNOWN where it cannot be read; `remark`, a
line about what it leaves out or ""; `name(i)` for messages; `read(i)`, a PIL image or a uint8 (H, W,
3) array. It can be pickled.
ImageNet's tar is one, too (data/imagenet_tar.py).
"""

import hashlib
import os
import time
import zlib
from array import array
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from data.listing import INODE, SIZE, UNKNOWN, Walk, formats, key_of
from data.pixels import upright_rgb
from data.store_files import checksum
from records.names import composed, printable

PIECE_BYTES = 2 ** 20  # of a file that are held in memory at once to be checked


class Undivided:
    """What sources have in common whose images are no files of their own."""

    listed_ns = 0

    @property
    def keys(self):
        return np.full((len(self.labels), INODE + 1), UNKNOWN)


class ArraySource(Undivided):
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
        self.classes, self.remark = tuple(classes), ""

    @cached_property
    def fingerprint(self):
        digest = hashlib.blake2b(repr((self.images.shape, self.classes)).encode(), digest_size=16)
        digest.update(self.labels)
        digest.update(np.ascontiguousarray(self.images))
        return digest.hexdigest()

    def name(self, i):
        return f"image {i}"

    def content(self, i):
        """Of the image as it came, so that its copies are known at any size."""
        return checksum(np.ascontiguousarray(self.images[i]))

    def read(self, i):
        return self.images[i]


class FolderSource:
    """Image files in folders, hidden ones (.name) left out; see `labelled`, `unlabelled` and
    `listed`."""

    def __init__(self, root, files, keys, labels, classes, listed_ns, remark, folders=()):
        self.root, self.files, self.keys = Path(root), files, keys
        self.labels, self.classes, self.folders = labels, classes, folders
        self.listed_ns, self.remark = listed_ns, remark

    @classmethod
    def labelled(cls, root, classes=None, only=None, apart=()):
        """List the images at any depth below root/<class>, in the order of their paths.

        Args: classes: names by label where another split sets them; folders may be missing, none
            may be new. only: names of the folders that are classes, None for all.
            apart: paths of folders that are not entered.
        Raises: FileNotFoundError without class folders, ValueError for an empty or unknown one.
        """
        walk, files, keys, counts = Walk(root, apart), [], [], []
        loose, folders = walk.scan("", array("q")) if os.path.isdir(root) else ([], [])
        if not folders:
            there = f"; the {len(loose)} images there have no label" if loose else ""
            raise FileNotFoundError(f"no class folders in {printable(root)}: expected "
                                    f"{printable(root)}/<class>/*.jpg (or .png, .webp, ...){there}")
        folders = [name for name in folders if only is None or name in only]
        classes = tuple(folders) if classes is None else tuple(classes)
        label_of = {composed(name): label for label, name in enumerate(classes)}
        if len(label_of) < len(classes):
            raise ValueError(f"{printable(root)}: the names of two class folders look the same "
                             f"({_alike(classes)}); merge or rename one of them")
        for folder in folders:
            path = printable(os.path.join(root, folder))
            if composed(folder) not in label_of:
                raise ValueError(f"{path}: '{printable(folder)}' is not among the {len(classes)} "
                                 "classes of the training images; remove it or add it there")
            found, found_keys = walk.images(folder)
            if not found:
                others = walk.endings(folder)
                others = f"has {others}, which Pillow cannot read" if others else "is empty"
                raise ValueError(f"{path}: class folder without images (it {others}); "
                                 "add some (.jpg, .png, .webp, ...) or remove it")
            files += found
            keys.append(found_keys)
            counts.append(len(found))
        labels = np.array([label_of[composed(folder)] for folder in folders], dtype=np.int64)
        remark = "; ".join(filter(None, [walk.remark(len(loose)), _same_but_case(classes)]))
        return cls(root, files, np.concatenate(keys), labels.repeat(counts), classes,
                   walk.listed_ns, remark, walk.folders)

    @classmethod
    def unlabelled(cls, root, apart=()):
        """List the images at any depth below root, in the order of their paths; every label is -1.

        Links to folders are followed; a folder reached twice counts once.
        Args: apart: paths of folders that are not entered.
        Raises: FileNotFoundError without any image.
        """
        walk = Walk(root, apart)
        files, keys = walk.images() if os.path.isdir(root) else ([], None)
        if not files:
            raise FileNotFoundError(f"no images in {printable(root)}: expected some (.jpg, .png, "
                                    ".webp, ...) there, at any depth")
        return cls(root, files, keys, np.full(len(files), -1, dtype=np.int64), (), walk.listed_ns,
                   walk.remark(), walk.folders)

    @classmethod
    def listed(cls, root, files, labels, remark=""):
        """Images of which each is named. Args: files: paths, absolute or from root. labels: names of
        their classes. remark: as of the source that found them; "" where none did."""
        now = time.time_ns()
        keys = np.array([key_of(os.path.join(root, file)) for file in files], dtype=np.int64)
        classes, numbers = np.unique(labels, return_inverse=True)
        return cls(root, files, keys, numbers.astype(np.int64), tuple(classes.tolist()), now,
                   remark or _same_but_case(classes.tolist()))

    @cached_property
    def fingerprint(self):
        return digest(self.classes, self.files, self.keys[:, SIZE])

    def name(self, i):
        return os.path.join(self.root, self.files[i])

    def content(self, i):
        check = 0
        try:
            with open(self.name(i), "rb", buffering=0) as file:
                while piece := file.read(PIECE_BYTES):
                    check = zlib.crc32(piece, check)
        except OSError:
            return UNKNOWN
        return check

    def read(self, i):
        return Image.open(os.path.join(self.root, self.files[i]), formats=formats())


def _same_but_case(names):
    """In words, names that differ only in case; "" where none do."""
    first, pairs = {}, []
    for name in names:
        other = first.setdefault(name.casefold(), name)
        pairs += [f"{printable(other)} and {printable(name)}"] if other != name else []
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return f"classes of their own that differ in case alone: {pairs[0]}{more}" if pairs else ""


def _alike(names):
    """The first of some names that looks like an earlier one."""
    seen = set()
    return printable(next(name for name in names if composed(name) in seen or seen.add(composed(name))))


def digest(classes, files, sizes):
    """Hex digest of a listing. Args: files: paths from the root; sizes: int64, their bytes."""
    digest = hashlib.blake2b(repr(tuple(classes)).encode(), digest_size=16)
    digest.update("\0".join(files).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(sizes, dtype="<i8"))
    return digest.hexdigest()


def decode(source, i, size):
    """Decode one image: upright, RGB, scaled to cover the square (bicubic, antialiased), centred.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where both sides stay >= size. An image of the
    very size keeps its pixels. Of an animation the first frame counts. Transparent pixels are laid
    on white. EXIF that cannot be read turns nothing.

    Values of other kinds than unsigned 8-bit become 0..255, image by image, from the least scale
    that holds them: integers (16 or 32 bits) from 0..255 as they are, else from 0..4095 or 0..65535
    by their upper eight bits; floats in proportion from 0..1, 0..255 or 0..65535, from the last two
    only if the largest value is at least a sixteenth of it. All others (negative, as in CT, or
    larger) go in proportion from their own smallest..largest value; if these are equal, to black.
    Colours of 16 bits keep their upper eight bits, as Pillow reads them.

    Returns: uint8 (size, size, 3).
    Raises: ValueError "<name>: not a readable image (<reason>)", on one line; also for NaN and
        infinite values.
    """
    return decode_and_scale(source, i, size)[0]


def decode_and_scale(source, i, size):
    """As decode; returns also the scale in words where values were not unsigned 8-bit, or None."""
    # A caption longer than Pillow's 1 MB is no reason to refuse a picture; all text of one still
    # is, from 64 MB on.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    try:
        image = source.read(i)
        if isinstance(image, np.ndarray):
            if image.shape == (size, size, 3):
                return image, None
            image = Image.fromarray(image)
        image.filename = ""  # Pillow would map the file, and scramble a TIFF that EXIF turns by 90 degrees
        with image:
            image.draft(None, (size, size))
            square, scale = upright_rgb(image)
            return np.array(_square(square, size)), scale
    except Exception as error:  # the decoders of broken files fail in ways beyond counting
        message = f"{source.name(i)}: not a readable image ({_reason(error)})"
        raise ValueError(printable(message)) from error


def _square(image, size):
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box)


def _reason(error):
    if isinstance(error, UnidentifiedImageError):
        return "empty, of no known image format, or of a kind that Pillow cannot read"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]
