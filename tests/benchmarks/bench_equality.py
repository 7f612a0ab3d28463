"""Does SimCLR learn as much from batched augmentation as from the per-image pipeline?

    python tests/benchmarks/bench_equality.py [--quick]

The same images, seeds and steps with either; kNN accuracy on CIFAR-100 of what each seed ends with. Reads
data/imagenet and data/cifar100.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import measure
import per_image
import torch
from PIL import Image
from torchvision import transforms as T

sys.path.append(str(measure.ROOT))
import pretrain  # noqa: E402
from data import augment  # noqa: E402

BLUR_SHARE = 0.5


def per_image_views(images, size, generator, *, mean, std, crop_scale, color_strength, share):
    """data.augment.simclr_views, image by image with torchvision on PIL images. Args:
    color_strength: 1. share: of one process, all."""
    torch.manual_seed(generator.initial_seed())
    blur = T.RandomApply([per_image.gaussian_blur(size)], BLUR_SHARE) if size >= 40 else None
    pipeline = per_image.simclr(size, blur)
    pipeline.transforms[0].scale = (crop_scale, 1)
    pictures = [Image.fromarray(image.numpy()) for image in images]
    views = torch.stack([pipeline(picture) for _ in range(2) for picture in pictures])
    return T.functional.normalize(views, mean, std).contiguous(memory_format=torch.channels_last)


def knn_after(views, seed, arguments):
    """kNN accuracy (fraction) after pre-training with one of the two."""
    ours, augment.simclr_views = augment.simclr_views, views
    try:
        with tempfile.TemporaryDirectory() as folder:
            pretrain.main(["--sample-ratio", str(arguments.sample_ratio), "--image-size", "32", "--stem", "7x7",
                           "--epochs", str(arguments.epochs), "--lr", "1e-3", "--batch-size", str(arguments.batch_size),
                           "--knn-data", "cifar100", "--knn-every", "1000", "--seed", str(seed),
                           "--data-dir", str(arguments.data_dir), "--output-dir", folder])
            log, = Path(folder).glob("res/*.csv")
            columns, *_, last = (line.split(",") for line in log.read_text().splitlines())
            return float(last[columns.index("knn_accuracy")])
    finally:
        augment.simclr_views = ours


def main(argv=None):
    """Train both with each seed and print mean and standard deviation."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    parser.add_argument("--sample-ratio", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.sample_ratio, arguments.epochs = 0.01, 1
    measure.start(arguments)
    found = {"batched": [], "per image": []}
    for seed in range(arguments.rounds):
        found["batched"].append(knn_after(augment.simclr_views, seed, arguments))
        found["per image"].append(knn_after(per_image_views, seed, arguments))
    for name, values in found.items():
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"kNN accuracy on CIFAR-100, {name}: {statistics.mean(values):.4f}{spread} "
              f"({', '.join(f'{value:.4f}' for value in values)})")


if __name__ == "__main__":
    main()
