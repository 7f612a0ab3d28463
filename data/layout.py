"""Where the splits of a dataset lie: found in any case, and never mistaken for one another."""

import os
import re
from pathlib import Path

from data.listing import class_folders
from records.names import composed, printable

# How people call the parts of a dataset: alone, before or after a word such as images_test,
# TestSet, "test images" or val2017. Only a whole word counts: "valley" and "driving test" do not.
_AFTER = r"(?:[ _.-]?(?:images?|imgs?|set|data|split|pictures|photos|\d+))*"
VAL_FOLDERS = "val", "valid", "validation"
_TRAIN = re.compile(rf"(?:.*[_.-])?(?:train|training){_AFTER}", re.IGNORECASE)
_TEST = re.compile(rf"(?:.*[_.-])?(?:tests?|testing|val|valid|validation|eval|evaluation|holdout)"
                   rf"{_AFTER}", re.IGNORECASE)


def split_folder(root, split):
    """The folder of a split, whose name may be in any case, or None.

    Raises: ValueError where two fit.
    """
    fits = [name for name in _folders(root) if name.lower() == split]
    if len(fits) > 1:
        raise ValueError(f"{printable(root)}: its folders {' and '.join(map(printable, fits))} "
                         f"could both be the {split} images; merge or rename one of them")
    return Path(root) / fits[0] if fits else None


def said_part(name):
    """"train" or "test" for a word that means training images or others, else ""."""
    return "train" if _TRAIN.fullmatch(name) else "test" if _TEST.fullmatch(name) else ""


def part_folders(root):
    """{part: folder} where the folders of a dataset split it into three parts, else {}.

    They do where train/, val/ and test/ have classes in folders: two or more, and no others in val/
    and test/ than in train/.
    """
    found = {"train": split_folder(root, "train"), "val": val_folder(root), "test": split_folder(root, "test")}
    if None in found.values():
        return {}
    classes = {part: set(map(composed, _folders(folder))) for part, folder in found.items()}
    alike = all(classes[part] and classes[part] <= classes["train"] for part in ("val", "test"))
    return found if alike and len(classes["train"]) > 1 else {}


def val_folder(root):
    """The folder of the images to choose on, None where there is none, or several."""
    found = [folder for name in VAL_FOLDERS if (folder := split_folder(root, name))]
    return found[0] if len(found) == 1 else None


def check_classes(folder, labels):
    """Look at the class folders of the training images before anything is decoded.

    Args: labels: whether the labels are used; without, a single folder is no mistake.
    Raises: ValueError where they are the splits of a dataset, or one class where labels are used.
    """
    names = _folders(folder)
    if any(map(_TRAIN.fullmatch, names)) and any(map(_TEST.fullmatch, names)):
        raise ValueError(f"{printable(folder)}: holds the splits {_listed(names)}, not classes; "
                         f"use --data-dir {printable(folder)}, or rename folders that are classes")
    if labels and len(names) == 1:
        raise ValueError(f"{printable(folder)}: one class only, {printable(names[0])}, "
                         "leaves nothing to tell apart; wrong level? "
                         f"{_other_level(Path(folder), names[0])}")


def _other_level(folder, name):
    """What may be meant where a folder of classes holds one folder only."""
    for place in (folder, folder / name):
        if split_folder(place, "train"):
            return f"use --data-dir {printable(place)}"
    deeper = _folders(folder / name)
    if len(deeper) > 1:
        return (f"if the classes are {_listed(deeper)}, move these folders from "
                f"{printable(folder / name)} up into {printable(folder)}")
    return "add a folder for every other class"


def check_below(root, folders, classes=False):
    """Refuse images of a test or validation split among those to train or pre-train on.

    Args: folders: paths of all folders that the images lie in. classes: whether root's folders are
        classes; then a split is one only below them, and beside another of training images.
    Raises: ValueError.
    """
    start = Path(os.path.abspath(root))
    for folder in sorted(map(Path, folders)):
        parent = folder.parent
        if folder == start or not _TEST.fullmatch(folder.name):
            continue
        if classes and (parent == start or not any(map(_TRAIN.fullmatch, _folders(parent)))):
            continue
        raise ValueError(f"{printable(folder)}: looks like a test or validation split, whose "
                         f"images must not be trained on; {_way_out(start, parent)}")


def in_parts(root, names):
    """Whether some of a root's folders are called as parts of a dataset or hold its train/, or the
    root is such a part itself, beside another."""
    here = Path(os.path.abspath(root))
    return (any(_TRAIN.fullmatch(name) or _TEST.fullmatch(name) or split_folder(here / name, "train")
                for name in names)
            or bool(_TRAIN.fullmatch(here.name)) and any(map(_TEST.fullmatch, _folders(here.parent))))


def _way_out(root, parent):
    if split_folder(parent, "train"):
        return f"use --data-dir {printable(parent)}"
    return (f"rename the folder of the training images {printable(root / 'train')}"
            f"{_alike(parent, _TRAIN)}, or this one if it is no such split")


def without_labels(root):
    """What is wrong where labels are needed and a root has no train folder, in one line."""
    here = Path(os.path.abspath(root))
    inner = [name for name in _folders(root) if split_folder(here / name, "train")]
    if here.name.lower() == "train":
        hint = f"use --data-dir {printable(here.parent)}"
    elif inner:
        hint = f"use --data-dir {printable(here / inner[0])}"
    else:
        hint = ("put the training images there, those to test on into "
                f"{printable(Path(root) / 'test')}/<class>{_alike(root, _TRAIN)}")
    return (f"no labels in {printable(root)}: expected two <class>/* folders or more, or "
            f"{printable(Path(root) / 'train')}/<class>/*; {hint}")


def alike(root, split):
    """" (is it X?)" for folders whose names mean the split in other words, else ""."""
    return _alike(root, _TEST if split == "test" else _TRAIN)


def _alike(root, pattern):
    names = [name for name in _folders(root) if pattern.fullmatch(name)]
    return f" (is it {_listed(names)}?)" if names else ""


def _folders(root):
    return class_folders(root) if os.path.isdir(root) else []


def _listed(names):
    more = ["..."] if len(names) > 3 else []
    return ", ".join([printable(name) for name in names[:3]] + more)
