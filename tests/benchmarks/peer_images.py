"""The same real images in each form that a whole program reads them in: folders of files, and CIFAR's pickles.

    FOLDER/imagenet/train/<class>/*                 without labels
    FOLDER/cifar100/{train,test}/<class>/*          with labels, five to train on for each to test on, as CIFAR-100 has
    FOLDER/pickled/cifar-10-batches-py/*            those of either folder at 32 px as torchvision's CIFAR10 and
    FOLDER/pickled/cifar-100-python/*               CIFAR100 read them
"""

import itertools
import pickle
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR_SIDE = 32  # px
TRAIN_PER_TEST = 5
READ_BY_ALL = {".png", ".jpg", ".jpeg"}


def spread(source, count):
    """So many image files, class after class in turns. Raises: ValueError where there are too few."""
    classes = [sorted(folder.iterdir()) for folder in sorted(Path(source).iterdir()) if folder.is_dir()]
    files = [file for turn in itertools.zip_longest(*classes) for file in turn if file]
    if len(files) < count:
        raise ValueError(f"{source} holds {len(files)} images, {count} are needed")
    return files[:count]


def place(files, folder, side):
    """Copy files to folder/<class>/; as PNG those of a kind that not all read, and those of another size, resized."""
    for file in files:
        there = folder / file.parent.name / file.name
        there.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            if image.size == (side, side) and file.suffix.lower() in READ_BY_ALL:
                shutil.copy(file, there)
            else:
                image.convert("RGB").resize((side, side), Image.BICUBIC).save(there.with_suffix(".png"))


def pixels(files):
    """As CIFAR's pickles hold them: uint8 (N, 3072), the planes of red, green and blue one after the other."""
    rows = []
    for file in files:
        with Image.open(file) as image:
            rows.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1).reshape(-1))
    return np.stack(rows)


def pickled(folder, content):
    """Write name -> dict below a folder."""
    folder.mkdir(parents=True)
    for name, found in content.items():
        (folder / name).write_bytes(pickle.dumps(found))


def without_labels(folder, source, count, side):
    """Args: source: folder of classes, whose labels nobody reads. At 32 px also as CIFAR-10, all labels 0."""
    place(spread(source, count), folder / "imagenet" / "train", side)
    if side == CIFAR_SIDE:
        parts = np.array_split(pixels(sorted(folder.glob("imagenet/train/*/*"))), 5)
        content = {f"data_batch_{number}": part for number, part in enumerate(parts, 1)}
        content["test_batch"] = parts[0][:1]  # torchvision asks for one
        content = {name: {"data": part, "labels": [0] * len(part)} for name, part in content.items()}
        pickled(folder / "pickled" / "cifar-10-batches-py",
                {**content, "batches.meta": {"label_names": [str(label) for label in range(10)]}})


def with_labels(folder, source, count, side):
    """Args: source: the folder of CIFAR-100 with train/<class>/* and test/<class>/*. count: to train on."""
    counts = {"train": count, "test": count // TRAIN_PER_TEST}
    for part, number in counts.items():
        place(spread(Path(source) / part, number), folder / "cifar100" / part, side)
    if side == CIFAR_SIDE:
        names = sorted(path.name for path in (folder / "cifar100" / "train").iterdir())
        content = {"meta": {"fine_label_names": names}}
        for part in counts:
            files = sorted(folder.glob(f"cifar100/{part}/*/*"))
            content[part] = {"data": pixels(files), "fine_labels": [names.index(file.parent.name) for file in files]}
        pickled(folder / "pickled" / "cifar-100-python", content)
