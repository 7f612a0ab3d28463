"""Small real images for the tests: folders of coloured squares, made on the fly."""

import numpy as np
import pytest
from PIL import Image

from supervised import resnet


@pytest.fixture
def narrow(monkeypatch):
    """Networks of an eighth of the channels, where what is done with them is the point."""
    monkeypatch.setattr(resnet, "WIDTH", 8)


@pytest.fixture
def image_folder(tmp_path):
    """A data folder with imagenet/train and cifar100/{train,test}: four classes told apart by colour."""
    rng = np.random.default_rng(0)
    for split, size, count in (("imagenet/train", 40, 6), ("cifar100/train", 32, 10), ("cifar100/test", 32, 3)):
        for label, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200), (180, 180, 20)]):
            folder = tmp_path / "data" / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 25, (size, size, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path
