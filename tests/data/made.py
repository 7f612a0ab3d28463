"""Pictures and stores for the tests of data/."""

import numpy as np
from PIL import Image

from data import store_files
from data.sources import FolderSource
from data.store import open_store

SIZE = 8


def picture(width=40, height=30, seed=0):
    """A smooth uint8 (height, width, 3) picture, so that JPEG keeps it recognizable."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def coded(label, k):
    """An image whose first pixel is (label, k, 0)."""
    pixels = np.full((SIZE, SIZE, 3), 10 * label + k, dtype=np.uint8)
    pixels[0, 0] = label, k, 0
    return pixels


def fill(root, classes=3, per_class=8):
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for k in range(per_class):
            Image.fromarray(coded(label, k)).save(root / f"class{label}" / f"{k:03d}.png")


class Opener:
    """open_store with few words; remembers lines."""

    def __init__(self, tmp_path):
        self.root, self.folder = tmp_path / "train", tmp_path / "store"
        self.lines = []

    def list(self):
        return FolderSource.labelled(self.root)

    def __call__(self, make_source=None, size=SIZE, **options):
        options = {"workers": 2, "say": self.lines.append, **options}
        return open_store(self.folder, make_source or self.list, size, **options)

    def again(self, make_source=None, **options):
        """Open what is packed: nothing is decoded."""
        self.lines.clear()
        opened = self(make_source, **options)
        assert not any("decoding" in line for line in self.lines)
        return opened

    def bytes(self):
        return {name: (self.folder / name).read_bytes() for name in store_files.NAMES}
