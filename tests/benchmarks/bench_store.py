"""The image store: second start, packing of large JPEGs, and reading what is not in memory.

    python tests/benchmarks/bench_store.py [--quick]

Reads data/cifar100 (image files) and data/imagenet-fullsize (JPEGs as ImageNet has them).
"""

import os
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import per_image
from PIL import Image

sys.path.append(str(measure.ROOT))
from data.dataloader import Batches  # noqa: E402
from data.datasets import load_split  # noqa: E402
from data.sources import FolderSource, decode  # noqa: E402
from data.store import read_ahead  # noqa: E402

START_REQUIRED, PACK_REQUIRED, COLD_REQUIRED = 10, 1.6, 15
PACK_SIZE = 96  # px
COLD_IMAGES, COLD_SIZE, COLD_BATCHES = 200_000, 64, 8


def first_batch(data_dir):
    """Open both splits of CIFAR-100 and read a batch of each."""
    for split in ("train", "test"):
        found = load_split("cifar100", split, data_dir)
        next(Batches(found.images, found.labels, per_image.BATCH_SIZE, "cpu", found.rows).epoch(0, 1))


def compare_starts(arguments):
    """First start from 60,000 image files, second start."""
    found = {"second start": [], "first start": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(arguments.data_dir / "cifar100", Path(folder) / "cifar100")
            found["first start"].append(measure.seconds(first_batch, folder))
            found["second start"].append(measure.seconds(first_batch, folder))
    measure.report("CIFAR-100 to its first batches", found, "s", START_REQUIRED)


def in_full(path):
    """Decode all of a JPEG, then scale it to cover the square."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        scale = PACK_SIZE / min(image.size)
        size = tuple(max(PACK_SIZE, round(side * scale)) for side in image.size)
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = ((side - PACK_SIZE) // 2 for side in size)
        return np.asarray(image.crop((left, top, left + PACK_SIZE, top + PACK_SIZE)))


def compare_packing(arguments):
    """Images per second and core."""
    source = FolderSource.labelled(arguments.data_dir / "imagenet-fullsize" / "train")
    rows = range(len(source.files))

    def draft():
        return len(rows) / measure.seconds(lambda: [decode(source, row, PACK_SIZE) for row in rows])

    def full():
        return len(rows) / measure.seconds(lambda: [in_full(source.name(row)) for row in rows])
    measure.compare(f"full-size ImageNet JPEGs to {PACK_SIZE} px, one core",
                    {"store": draft, "full decode": full}, arguments.rounds, "images/s", PACK_REQUIRED)


def compare_cold_reads(arguments):
    """Random batches of a store that the page cache does not hold."""
    with tempfile.TemporaryDirectory(dir=arguments.data_dir) as folder:
        path, shape = Path(folder) / "images.npy", (COLD_IMAGES, COLD_SIZE, COLD_SIZE, 3)
        images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for start in range(0, COLD_IMAGES, 10_000):
            images[start:start + 10_000] = start // 10_000
        images.flush()
        del images
        rng = np.random.default_rng(0)

        def rate(prepare):
            drop_from_cache(path)
            images = np.load(path, mmap_mode="r")
            batches = rng.integers(COLD_IMAGES, size=(COLD_BATCHES, 256))

            def gather():
                for rows in batches:
                    prepare(images, rows)
                    images[rows].sum()
            return batches.size / measure.seconds(gather)
        measure.compare("random batches from a cold store", {
            "read ahead": lambda: rate(read_ahead), "plain indexing": lambda: rate(lambda *_: None),
        }, arguments.rounds, "images/s", COLD_REQUIRED)


def drop_from_cache(path):
    """Have the system forget a file's pages."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main(argv=None):
    """Measure all three."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    arguments = parser.parse_args(argv)
    measure.start(arguments)
    compare_packing(arguments)
    compare_cold_reads(arguments)
    compare_starts(arguments)


if __name__ == "__main__":
    main()
