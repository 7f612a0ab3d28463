"""Datasets by name: which images, which labels, which split, and where they come from."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np

from conf import global_settings as settings
from data.digits import read_digits
from data.imagenet_tar import TarSource
from data.layout import (VAL_FOLDERS, alike, check_below, check_classes, split_folder,
                         without_labels)
from data.listing import class_folders
from data.own import find_own, pile, stores_of
from data.sampling import hold_out, sample, stratified  # noqa: F401  programs outside import hold_out from here
from data.sources import ArraySource, FolderSource
from data.split_file import PARTS
from data.store import open_store
from records.names import composed, printable


class Dataset(NamedTuple):
    """image_size in px a side, the usual one where any_size: its images are of any; mean, std of
    RGB; unlabelled: the split that pre-training reads. arrays: (torchvision.datasets, data
    folder, split) -> its images uint8 (N, H, W, 3), labels and classes, downloaded; None where there is
    no download. archive: what that leaves in the data folder."""

    image_size: int
    mean: tuple
    std: tuple
    unlabelled: str = "train"
    archive: Optional[str] = None
    arrays: Optional[Callable] = None
    any_size: bool = False


def _cifar(name):
    def arrays(datasets, folder, split):
        found = getattr(datasets, name)(folder, train=split == "train", download=True)
        return found.data, found.targets, found.classes
    return arrays


def _stl10(datasets, folder, split):
    found = datasets.STL10(folder, split=split, download=True)
    return found.data.transpose(0, 2, 3, 1), found.labels, found.classes


DATASETS = {
    "digits": Dataset(8, (0.307,) * 3, (0.352,) * 3, "pretrain"),
    "cifar100": Dataset(32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762),
                        archive="cifar-100-python", arrays=_cifar("CIFAR100")),
    "cifar10": Dataset(32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
                       archive="cifar-10-batches-py", arrays=_cifar("CIFAR10")),
    "stl10": Dataset(96, (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713), "unlabeled",
                     "stl10_binary", _stl10),
    "imagenet": Dataset(96, settings.IMAGENET_MEAN, settings.IMAGENET_STD, any_size=True),
    "folder": Dataset(96, settings.IMAGENET_MEAN, settings.IMAGENET_STD, any_size=True),
}
IMAGENET_TAR = "ILSVRC2012_img_train.tar"


class Split(NamedTuple):
    """images: uint8 (N, H, H, 3); labels: int64 (N,), -1 where there is none; classes: names by
    label; rows: int64 (M,), those of the N images that belong to the split; checksums: int64 (N,),
    data.store_files.checksum of each image; contents: int64 (N,), of each image's file whatever
    size it is stored at, -1 where that is not known. val: int64, those of the rows that a CSV of
    the dataset's parts holds out to choose on, None where there is no such CSV. pool: int64, what
    the rows are a sample of, None for all N."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple
    rows: np.ndarray
    checksums: np.ndarray
    contents: np.ndarray
    val: Optional[np.ndarray] = None
    pool: Optional[np.ndarray] = None

    @property
    def labelled(self):
        """Whether all its images have labels."""
        return bool(self.labels[self.rows].min() >= 0)


def load_split(name, split, data_dir, size=None, ratio=1.0, seed=0, workers=None, max_bad_images=0,
               store_dir=None, labels=None, left_out=None, given=None):
    """Open one split of a dataset, decoding it into the store at its first use.

    Args:
        name: a key of DATASETS. split: "pretrain" (what pre-training reads), "train" or "test".
        size: px a side of the stored images (see `stored_size`), None for the dataset's own.
        ratio: share of the images in (0, 1], class by class. left_out: as for data.sampling.sample;
            only of the part "train".
        store_dir: folder for the store, None for the one in data_dir.
        labels: whether they are needed, None for all splits but "pretrain".
        given: a CSV of the parts of own images ("folder"), None for the program's own. With such a
            CSV "train" has the images to choose on, too, whatever the ratio, and "pretrain" none.
    Returns: Split.
    Raises: FileNotFoundError where the images are missing, ValueError where they are wrong.
    """
    dataset, data_dir = DATASETS[name], Path(data_dir)
    labels, part = split != "pretrain" if labels is None else labels, split
    split = dataset.unlabelled if split == "pretrain" else split
    size = size or dataset.image_size
    if name == "digits":
        return Split(*read_digits(split, size, ratio, seed))
    left_out = left_out if split == "train" else None
    if data_dir.exists() and not data_dir.is_dir():
        raise NotADirectoryError(f"{printable(data_dir)}: a file; --data-dir names the folder that "
                                 "holds the datasets")
    stores = stores_of(data_dir, store_dir)
    own = find_own(data_dir, stores, given) if name == "folder" else None
    if own:
        _check_stores(stores, data_dir)
        return _own(own, part, stores / f"{own.store}-{size}px", ratio, seed,
                    size=size, workers=workers, max_bad_images=max_bad_images)
    make_source, watched = _locate(name, split, data_dir, labels, stores)
    folder = stores / f"{name}-{split}-{size}px"
    store = open_store(folder, make_source, size, watched=watched, workers=workers,
                       rows=lambda labels: sample(labels, ratio, seed, left_out),
                       max_bad_images=max_bad_images)
    wanted = sample(store.labels, ratio, seed, left_out)
    rows = wanted[store.present[wanted]]
    _check_what_is_left(store, wanted, rows, folder, labels)
    return Split(store.images, store.labels, tuple(store.classes), rows, store.checksums,
                 store.contents)


def _own(own, part, folder, ratio, seed, **options):
    """A part of own images that a CSV splits; all of them are decoded, for copies to be found."""
    store = open_store(folder, own.source, **options)
    parts, val = own.parts(store, partial(print, flush=True)), None
    pool = wanted = np.flatnonzero(parts == PARTS.index("test" if part == "test" else "train"))
    if part != "test":
        wanted = pool[stratified(store.labels[pool], ratio, seed)]
    rows = wanted[store.present[wanted]]
    _check_what_is_left(store, wanted, rows, folder, labels=True)
    if part == "train":
        val = np.flatnonzero((parts == PARTS.index("val")) & store.present)
        rows = np.union1d(rows, val)
    return Split(store.images, store.labels, tuple(store.classes), rows, store.checksums,
                 store.contents, val, pool)


def open_source(name, split, data_dir, store_dir=None, given=None):
    """The undecoded images of a split with labels, row by row as `load_split` has them; None for
    those that are in no files. Raises: as `load_split`."""
    if name == "digits":
        return None
    stores = stores_of(data_dir, store_dir)
    own = find_own(Path(data_dir), stores, given) if name == "folder" else None
    source = own.source() if own else _locate(name, split, Path(data_dir), True, stores)[0]()
    return None if isinstance(source, ArraySource) else source


def _check_what_is_left(store, wanted, rows, folder, labels):
    """Raises: ValueError where not one image could be read or, with labels, not one of a class."""
    lost = np.setdiff1d(store.labels[wanted], store.labels[rows]) if labels else []
    if len(lost) or not len(rows):
        of = f" of class {printable(store.classes[lost[0]])}" if len(lost) else ""
        raise ValueError(f"{folder}: not one image{of} could be read, see its bad.txt; repair them "
                         "or take them away")


def images_digest(split, positions=slice(None)):
    """Hex digest of a part's images, labels and class names, in their order.

    Args: positions: of the images in split.rows.
    """
    rows = split.rows[positions]
    names = [composed(name) for name in split.classes]
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    for values in (split.checksums, split.labels):
        digest.update(np.ascontiguousarray(values[rows], dtype="<i8"))
    return digest.hexdigest()


def files_digest(split):
    """As `images_digest` of all images, but by their files, so that it is the same at any size they
    are stored at; None where the files of some are not known."""
    contents = split.contents[split.rows]
    same = split._replace(checksums=split.contents)
    return None if (contents < 0).any() else images_digest(same)


def stored_size(name, image_size):
    """px a side at which a dataset is stored for a network: as that sees it where images are of any
    size, else at the dataset's own size. Args: image_size: px a side that the network sees."""
    return image_size if DATASETS[name].any_size else DATASETS[name].image_size


def _locate(name, split, data_dir, labels, stores):
    """(How to list a split, the archive whose change tells that it must be listed again.)"""
    root = data_dir if name == "folder" else data_dir / name
    train = split_folder(root, "train")
    folder = train if split == "train" else split_folder(root, split)
    _check_stores(stores, root)
    if DATASETS[name].arrays and train is None:
        return (lambda: _torchvision(name, split, data_dir)), [data_dir / DATASETS[name].archive]
    tar = _imagenet_tar(root) if name == "imagenet" and train is None else None
    if tar and split == "train":
        return (lambda: _listed_once(tar, stores)), [tar]
    if name == "folder" and split == "train" and folder is None:
        if labels:
            raise ValueError(without_labels(root))
        return (lambda: pile(root, stores)), []
    if folder is None:
        raise FileNotFoundError(_nothing_in(root, name, split))
    if split == "unlabeled":
        return (lambda: FolderSource.unlabelled(folder)), []
    if split == "train":
        check_classes(folder, labels)
        return (lambda: _classes(folder)), []
    # The labels of test are those of the training classes, some of which it may lack.
    if tar:
        return (lambda: FolderSource.labelled(folder, _listed_once(tar, stores).classes)), []
    if train is None:
        raise FileNotFoundError(_nothing_in(root, name, "train"))
    return (lambda: FolderSource.labelled(folder, class_folders(train))), []


def _check_stores(stores, root):
    """Raises: ValueError for stores inside a split: they would be a class without images there."""
    for name in class_folders(root) if root.is_dir() else ():
        inside = Path(os.path.realpath(root / name)) in Path(os.path.realpath(stores)).parents
        if inside and name.lower() in ("train", "test", "unlabeled", *VAL_FOLDERS):
            raise ValueError(f"{printable(stores.parent)}: lies among the images in "
                             f"{printable(root / name)}; name a folder outside with --store-dir")


def _nothing_in(root, name, split):
    hint = ", which tests and training read" if split == "test" else ""
    hint += f" or {root / IMAGENET_TAR}" if name == "imagenet" and split == "train" else ""
    return printable(f"no images of {name}: expected {root / split}/<class>/*{hint}"
                 f"{alike(root, split)}; put them there, rename their folder {split}, or name "
                 "another place with --data-dir")


def _classes(folder):
    source = FolderSource.labelled(folder)
    check_below(folder, source.folders, classes=True)
    return source


def _imagenet_tar(root):
    """The official tar in a dataset's folder or beside it, or None."""
    return next((folder / IMAGENET_TAR for folder in (root, root.parent)
                 if (folder / IMAGENET_TAR).is_file()), None)


def _listed_once(tar, stores):
    """The tar with the listing that stores of all sizes and splits share."""
    source = TarSource(tar)
    source.cache_in(stores)
    return source


def _torchvision(name, split, data_dir):
    """torchvision's own reader, which checks the files' md5 and downloads what is missing."""
    import torchvision
    dataset = DATASETS[name]
    try:
        found = dataset.arrays(torchvision.datasets, str(data_dir), split)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(f"{name} is neither in {data_dir} nor could it be downloaded "
                                f"({error}); put {dataset.archive}, or {name}/train and "
                                f"{name}/test, there") from error
    return ArraySource(*found)
