"""Views per second of data/augment.py beside a per-image pipeline of PIL and torchvision on the same cores.

    python tests/benchmarks/bench_augment.py [--rounds 5] [--seconds 2] [--workers 2]

The per-image side is how SimCLR and CIFAR trainings are commonly written: decoded PIL images in memory, transforms.Compose
in the workers of a DataLoader. Both sides take turns; medians of the rounds, and of the ratios of one round.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from data import augment  # noqa: E402

MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)  # CIFAR-100
BATCH_SIZE = 128
CASES = [("simclr", 32), ("simclr", 64), ("simclr", 96), ("crop_flip", 32)]


def some_images(count, side):
    """Smooth random images, uint8 (count, side, side, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side), Image.BICUBIC)) for image in coarse])


class PerImage(Dataset):
    """Endless PIL images, each augmented `views` times by a torchvision transform."""

    def __init__(self, images, transform, views):
        self.images = [Image.fromarray(image) for image in images]
        self.transform, self.views = transform, views

    def __len__(self):
        return 10 ** 9

    def __getitem__(self, index):
        image = self.images[index % len(self.images)]
        return torch.stack([self.transform(image) for _ in range(self.views)])


def simclr_transform(size):
    """SimCLR's operators on a PIL image, with blur from 40 px on as in data/augment.py."""
    steps = [T.RandomResizedCrop(size), T.RandomHorizontalFlip(),
             T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8), T.RandomGrayscale(0.2)]
    if size >= augment.BLUR_MIN_SIZE:
        steps.append(T.RandomApply([T.GaussianBlur(size // 10 | 1)], 0.5))
    return T.Compose([*steps, T.ToTensor()])


def crop_flip_transform(size):
    """The usual CIFAR augmentation on a PIL image."""
    return T.Compose([T.RandomCrop(size, padding=size // 8), T.RandomHorizontalFlip(), T.ToTensor(),
                      T.Normalize(MEAN, STD)])


def rate(step, seconds):
    """Views per second of a function that makes and counts some."""
    views, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        views += step()
    return views / (time.perf_counter() - start)


def sides(kind, size):
    """Makers of one batch, each returning its number of views: batched, and per image in this process."""
    images, draws = some_images(BATCH_SIZE, size), torch.Generator().manual_seed(0)
    batch = torch.from_numpy(images)
    function = {"simclr": augment.simclr_views, "crop_flip": augment.crop_flip}[kind]
    transform = {"simclr": simclr_transform, "crop_flip": crop_flip_transform}[kind](size)
    dataset = PerImage(images, transform, 2 if kind == "simclr" else 1)
    return lambda: len(function(batch, size, draws, mean=MEAN, std=STD)), dataset


def per_image_rate(dataset, seconds, workers):
    """Views per second of a DataLoader once its workers run and its queue, filled meanwhile, is empty."""
    loader = iter(DataLoader(dataset, BATCH_SIZE, num_workers=workers))
    for _ in range(2 * workers + 1):
        next(loader)
    return rate(lambda: next(loader).shape[0] * dataset.views, seconds)


def compare(kind, size, arguments):
    """Print one line of the table."""
    batched, dataset = sides(kind, size)
    batched()
    rounds = []
    for _ in range(arguments.rounds):
        rounds.append((rate(batched, arguments.seconds), per_image_rate(dataset, arguments.seconds, arguments.workers)))
    ours, theirs = (statistics.median(column) for column in zip(*rounds))
    ratios = sorted(ours / theirs for ours, theirs in rounds)
    print(f"{kind:10s} {size:3d} px  batched {ours:9.0f}/s  per image {theirs:8.0f}/s  "
          f"ratio {statistics.median(ratios):5.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})", flush=True)


def main(argv=None):
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of measuring, each side and round")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader; also the threads of the batched side")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.workers)
    for kind, size in CASES:
        compare(kind, size, arguments)


if __name__ == "__main__":
    main()
