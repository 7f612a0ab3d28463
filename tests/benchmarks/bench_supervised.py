"""A supervised epoch's data path alone at 32 px, beside a DataLoader that crops, flips and normalises per image.

    python tests/benchmarks/bench_supervised.py [--quick]

Both sides read uint8 images from memory in a random order and make normalised batches of 128.
"""

import sys

import measure
import numpy as np
import per_image
from torch.utils.data import DataLoader

sys.path.append(str(measure.ROOT))
import utils  # noqa: E402
from data import augment  # noqa: E402
from data.dataloader import Batches, generator  # noqa: E402

SIZE = 32  # px
REQUIRED = 8
STATISTICS = {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)}  # CIFAR-100


def batched(images, labels):
    """Seconds of one epoch of whole batches."""
    batches = Batches(images, labels, per_image.BATCH_SIZE, "cpu")

    def epoch():
        for step, (found, _) in enumerate(batches.epoch(0, 1)):
            augment.crop_flip(found, SIZE, generator(0, 1, step), **STATISTICS)
    return measure.seconds(epoch)


def loaded(images, labels, workers):
    """Seconds of one epoch of a DataLoader."""
    dataset = per_image.PerImage(images, per_image.crop_flip(SIZE, **STATISTICS), len(images), labels)
    loader = DataLoader(dataset, per_image.BATCH_SIZE, shuffle=True, num_workers=workers)

    def epoch():
        for _ in loader:
            pass
    return measure.seconds(epoch)


def main(argv=None):
    """Measure an epoch of each."""
    parser = measure.parser(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=50000, help="in an epoch, as CIFAR-100 has")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.images = 5000
    measure.start(arguments)
    utils.keep_freed_memory()  # as the programs do
    images = per_image.some_images(arguments.images, SIZE)
    labels = np.arange(len(images)) % 100
    batched(images[:1000], labels[:1000])
    measure.compare(f"supervised epoch of {len(images)} images at {SIZE} px, data path alone", {
        "batched": lambda: batched(images, labels),
        "DataLoader": lambda: loaded(images, labels, arguments.threads),
    }, arguments.rounds, "s", REQUIRED)


if __name__ == "__main__":
    main()
