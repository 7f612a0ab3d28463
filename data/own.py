"""Own images in three parts: by the folders train/, val/ and test/, or by a CSV, which a person brings
or which is drawn once and read ever after.

Drawn class by class, with the seed 0: SPLIT_SHARES of the different pictures of each go to validation and
test, and all copies of a picture to one part. A class keeps one to train on, the next is to test
on, the third to choose on.
"""

import os
import zlib
from pathlib import Path

import numpy as np

from conf.global_settings import SPLIT_SHARES
from data.duplicates import same_picture
from data.layout import check_below, check_classes, in_parts, part_folders, split_folder
from data.listing import Walk, class_folders
from data.sampling import draw_parts
from data.sources import FolderSource
from data.split_file import PARTS, differing, label_of, listed, read_split, write_split
from records.files import locked
from records.names import printable

STORE = "store"
SPLIT = "split.csv"
UNLABELLED = "unlabeled", "unlabelled"  # folder beside the classes, in any case
NAMED = 5  # classes in a line


def stores_of(data_dir, store_dir=None):
    """The folder of a data folder's stores. In one that is given, data folders may meet: each has a
    place of its own there."""
    if store_dir is None:
        return Path(data_dir) / STORE
    return Path(store_dir) / f"{zlib.crc32(os.fsencode(os.path.realpath(data_dir))):08x}"


def is_split(root, stores, given=None):
    """Whether own images have a split, or will have one. Args: as for `find_own`."""
    if given is not None:
        return True
    if split_folder(root, "train") is None:
        return (stores / SPLIT).exists() or bool(_own_classes(root, stores))
    return bool(part_folders(root))


def find_own(root, stores, given=None):
    """Args: root: the folder of the images. stores: where the CSV is written. given: somebody's
        CSV, or None.
    Returns: Own; None where the folders train/ and test/ split the images, which leave open what to
        choose on, or nothing says which labels they have.
    Raises: ValueError, OSError for a CSV or folders that are wrong.
    """
    path = stores / SPLIT
    if not is_split(root, stores, given):
        return None
    if given is None and (folders := part_folders(root)):
        found, remark = _by_folders(folders)
        return Own(root, found, None, remark=remark)
    if given is None and path.exists():
        return Own(root, _stored(path, root), path)
    if given is None:
        return Own(root, None, path, _own_classes(root, stores), leftovers(root, stores))
    found = read_split(given, root)
    if found.is_whole:
        return Own(root, found, given, drawn=_same(given, path), remark=found.remark)
    if path.exists():
        return Own(root, _agreeing(found, given, path, root), path, remark=found.remark)
    return Own(root, found, path, remark=found.remark)


def check_drawn(root, store_dir=None, given=None):
    """Raises: ValueError where the split of own images is still to be drawn, which is no business of a
    program that applies a network. Args: as for data.datasets.load_split."""
    root, stores = Path(root), stores_of(root, store_dir)
    whole = read_split(given, root).is_whole if given else bool(part_folders(root))
    if is_split(root, stores, given) and not whole and not (stores / SPLIT).exists():
        raise ValueError(printable(f"{root}: there is no {stores / SPLIT} that says which pictures are "
                                   "to test on; name the one of the run with --split, or with "
                                   "--store-dir the folder that it lies in"))


class Own:
    """Pictures of all parts, in the order of their paths.

    Args: found: split_file.Listed, None to list class folders. path: the CSV that holds its parts or
        will, None where folders are the parts. folders: names of the class folders. apart: paths that
        are not entered. drawn: whether the CSV is that of the program. remark: as of a source.
    """

    def __init__(self, root, found, path, folders=(), apart=(), drawn=True, remark=""):
        self.root, self.path, self._drawn = Path(root), path and Path(path), drawn and path is not None
        self._found, self._remark = found, remark
        if found is None:
            source = FolderSource.labelled(root, only=folders, apart=apart)
            check_below(root, source.folders, classes=True)
            start, names = os.path.abspath(root), _labels(root, folders)
            self._found = listed([os.path.join(start, file) for file in source.files],
                                 [names[label] for label in source.labels.tolist()])
            self._remark = source.remark

    @property
    def store(self):
        """What its store is called: lists of the same files share one."""
        if self.path is None:
            return "folder-parts"
        if self._drawn:
            return "folder-own"
        names = "\0".join(self._names()).encode("utf-8", "surrogateescape")
        return f"folder-{zlib.crc32(names):08x}"

    def source(self):
        """The undecoded images."""
        return FolderSource.listed(self.root, self._names(), self._found.labels, self._remark)

    def _names(self):
        """The files as they count from its folder, so that it can be moved."""
        start = os.path.join(os.path.abspath(self.root), "")
        return [file.removeprefix(start) for file in self._found.files]

    def parts(self, store, say):
        """The part of each image: numbers in PARTS, int64 (N,). What is missing is drawn, and
        written. Args: store: data.store_files.Store of its source. say: called with a line.

        Raises: ValueError for too few pictures, OSError where it cannot be written.
        """
        if not self._found.is_whole:
            with locked(self.path.parent / "split", say, "split", "--store-dir"):
                if self.path.exists():  # another process was faster
                    self._found = _agreeing(self._found, self.root, self.path, self.root)
                else:
                    self._found = self._found._replace(parts=self._draw(store, say))
                    write_split(self.path, self._found, self.root)
        return np.array([PARTS.index(part) for part in self._found.parts])

    def _draw(self, store, say):
        known = self._found.parts
        rows = np.arange(len(store.labels)) if known is None else np.flatnonzero(
            np.array(known) == "train")
        groups = same_picture(store.checksums[rows], store.contents[rows])
        test = SPLIT_SHARES["test"] if known is None else 0
        drawn = draw_parts(store.labels[rows], groups, SPLIT_SHARES["val"] / (
            1 if known is None else 1 - SPLIT_SHARES["test"]), test)
        parts = np.full(len(store.labels), PARTS.index("test"))
        parts[rows] = drawn
        counts = {part: int((parts == k).sum()) for k, part in enumerate(PARTS)}
        if not all(counts.values()):
            raise ValueError(f"{printable(self.root)}: {len(parts)} pictures of "
                             f"{len(store.classes)} classes are too few for a split: no class has "
                             "three different ones; add some or, where they have no labels, put "
                             f"them into {printable(self.root / UNLABELLED[1])}")
        say(f"{self.path}: split drawn of {len(parts)} pictures of {len(store.classes)} classes: "
            + ", ".join(f"{count} {part}" for part, count in counts.items())
            + "; every run reads it, edit it or bring your own with --split")
        for part, use in (("test", "test"), ("val", "choose")):
            has = np.unique(store.labels[parts == PARTS.index(part)])
            lacking = np.setdiff1d(np.arange(len(store.classes)), has)
            if len(lacking):
                names = ", ".join(printable(store.classes[k]) for k in lacking[:NAMED])
                names += ", ..." if len(lacking) > NAMED else ""
                say(f"too few different pictures of {len(lacking)} classes to {use} on some: "
                    f"{names}")
        return tuple(PARTS[k] for k in parts.tolist())

    def unlisted(self, stores):
        """In one line, the pictures below its folder that the program's own CSV does not list; ""
        for none."""
        if not (self._drawn and self._found.is_whole):
            return ""
        walk = Walk(self.root, leftovers(self.root, stores) + unlabelled_folders(self.root))
        start = os.path.abspath(self.root)
        known = set(self._found.files)
        new = [file for file in walk.images()[0] if os.path.join(start, file) not in known]
        if not new:
            return ""
        return printable(f"{self.path}: does not list {len(new)} of the pictures in {self.root}, "
                         f"which are left out; the first is {new[0]}; add rows for them (part "
                         "train leaves the test as it is), or delete it to have all parts drawn "
                         "again")


def leftovers(root, stores):
    """Paths below a folder of images that these programs left there: stores, and the figures of
    runs whose --output-dir it was."""
    apart = [lock.parent for place in (root / STORE, stores) for lock in place.glob("*/lock")]
    if any(root.glob("checkpoint/*/*/lock")):
        apart += [root / name for name in ("checkpoint", "runs", "res")]
    return apart


def check_apart(root, folder):
    """Raises: ValueError for a folder of pictures without labels that has some of the others, too:
    it would pass for a class of theirs."""
    one, other = (os.path.join(os.path.realpath(path), "") for path in (root, folder))
    if one.startswith(other) or other.startswith(one):
        raise ValueError(printable(
            f"--unlabelled {folder} and the pictures in {root} lie in one another; move it out, or "
            f"call it {Path(root) / UNLABELLED[1]}, which is read by itself"))


def unlabelled_folders(root):
    """The folders of pictures without labels beside the classes."""
    names = class_folders(root) if os.path.isdir(root) else []
    return [Path(root) / name for name in names if name.lower() in UNLABELLED]


def pile(root, stores):
    """A source of all images below a folder, without labels."""
    source = FolderSource.unlabelled(root, apart=leftovers(root, stores))
    check_below(root, source.folders)
    return source


def _by_folders(folders):
    """(Listed of the images in the folders of the parts, a line about what else lies there or "")."""
    check_classes(folders["train"], labels=True)
    classes, files, labels, parts, remarks = class_folders(folders["train"]), [], [], [], []
    names = _labels(folders["train"], classes)
    for part, folder in folders.items():
        source = FolderSource.labelled(folder, classes)
        if part == "train":
            check_below(folder, source.folders, classes=True)
        files += [os.path.join(os.path.abspath(folder), file) for file in source.files]
        labels += [names[label] for label in source.labels.tolist()]
        parts += [part] * len(source.files)
        remarks += [source.remark] if source.remark else []
    return listed(files, labels, parts), "; ".join(dict.fromkeys(remarks))


def _own_classes(root, stores):
    """Names of the folders that are classes; () where there are fewer than two, or one is called as
    a part of a dataset or holds one, or all of them are such a part."""
    if not os.path.isdir(root):
        return ()
    apart = leftovers(root, stores)
    beside = {os.path.abspath(path) for path in (*apart, *unlabelled_folders(root))}
    names = [name for name in class_folders(root)
             if os.path.abspath(root / name) not in beside and not _holds_stores(root / name, apart)]
    return tuple(names) if len(names) > 1 and not in_parts(root, names) else ()


def _labels(root, folders):
    """The labels that class folders give, as a CSV gives them back: without blanks around them.
    Raises: ValueError for folders that these do not tell apart."""
    found = {}
    for folder in folders:
        label = label_of(folder)
        if not label or label in found:
            like = f"looks like that of '{printable(found[label])}'" if label else "is empty"
            raise ValueError(f"{printable(root)}: the name of the class folder "
                             f"'{printable(folder)}', without the blanks around it, {like}; rename it")
        found[label] = folder
    return tuple(found)


def _holds_stores(folder, apart):
    """Whether a folder holds stores and no images."""
    locks = (lock for depth in ("*/lock", "*/*/lock") for lock in folder.glob(depth))
    return any(locks) and not Walk(folder, apart).images()[0]


def _agreeing(found, where, path, root):
    """What the program's CSV says of the pictures of a list. Raises: ValueError for others."""
    stored = _stored(path, root)
    file = differing(found, stored)
    if file:
        raise ValueError(printable(f"{path}: was drawn of other pictures or labels than are in "
                                   f"{where}, the first that differs is {file}; delete it to have "
                                   "the parts drawn again, or move it away"))
    return stored


def _stored(path, root):
    """The program's CSV. Raises: ValueError where it leaves something to be drawn."""
    found = read_split(path, root)
    if not found.is_whole:
        raise ValueError(printable(f"{path}: no picture has the part val, nothing to choose on; give "
                                   "some rows the part val, or delete it to have the parts drawn "
                                   "again"))
    return found


def _same(one, other):
    return os.path.exists(other) and os.path.samefile(one, other)
