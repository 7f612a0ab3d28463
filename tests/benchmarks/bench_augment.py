"""SimCLR views per second of the data path alone, beside a per-image pipeline of PIL and torchvision.

    python tests/benchmarks/bench_augment.py [--quick] [--peer FOLDER]

The per-image side has the operators of the well-known PyTorch SimCLR code, which blurs every view at every
size; a second line a size compares with exactly the operators of data/augment.py (no blur below 40 px, half
of the views from there on). FOLDER: a checkout of github.com/sthalles/SimCLR, whose own transform, with its
own blur, is then the per-image side of the first line.
"""

import importlib
import itertools
import sys

import torch
from torchvision import transforms as T

import measure
import per_image

sys.path.append(str(measure.ROOT))
import utils  # noqa: E402
from data import augment  # noqa: E402
from data.dataloader import Batches, generator  # noqa: E402

REQUIRED = {32: 30, 64: 10, 96: 6}  # ratio by px a side
IMAGES = 2048
STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def batched(images, size):
    """A function that makes the views of one batch and counts them."""
    batches = Batches(images, torch.zeros(len(images), dtype=torch.int64), per_image.BATCH_SIZE, "cpu")
    endless = enumerate(itertools.chain.from_iterable(batches.epoch(0, k) for k in itertools.count()))

    def step():
        number, (found, _) = next(endless)
        return len(augment.simclr_views(found, size, generator("cpu", 0, number), **STATISTICS))
    step()
    return step


def of_the_peer(folder, size):
    """The transform of a checkout of the well-known code."""
    sys.path.insert(0, str(folder))
    module = importlib.import_module("data_aug.contrastive_learning_dataset")
    sys.path.remove(str(folder))
    return module.ContrastiveLearningDataset.get_simclr_pipeline_transform(size)


def same_operators(size):
    """What data/augment.py does, per image."""
    blurs = size >= augment.BLUR_MIN_SIZE
    return per_image.simclr(size, T.RandomApply([per_image.gaussian_blur(size)], 0.5) if blurs else None)


def compare(size, transform, name, arguments, required=None):
    """Print one line."""
    images = per_image.some_images(IMAGES, size)
    step, dataset = batched(images, size), per_image.PerImage(images, per_image.TwoViews(transform))
    measure.compare(f"SimCLR views, {size} px", {
        "batched": lambda: measure.rate(step, arguments.seconds),
        name: lambda: per_image.loader_rate(dataset, 2, arguments.seconds, arguments.threads),
    }, arguments.rounds, "views/s", required)


def main(argv=None):
    """Measure every size."""
    parser = measure.parser(__doc__, rounds=5)
    parser.add_argument("--peer", help="checkout of the well-known SimCLR code")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(REQUIRED), help="px a side")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each side and round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.seconds = 0.5
    measure.start(arguments)
    utils.keep_freed_memory()  # as the programs do
    for size in arguments.sizes:
        if arguments.peer:
            theirs, name = of_the_peer(arguments.peer, size), "its own per-image transform"
        else:
            theirs, name = per_image.simclr(size, per_image.gaussian_blur(size)), "per image"
        compare(size, theirs, name, arguments, REQUIRED.get(size))
        compare(size, same_operators(size), "per image, same operators", arguments)


if __name__ == "__main__":
    main()
