"""SimCLR views per second of the data path alone, beside a per-image pipeline of PIL and torchvision.

    python tests/benchmarks/bench_augment.py [--quick] [--peer NAME=FOLDER ...]

The per-image side has the operators of the well-known PyTorch SimCLR code, which blurs every view at every
size; a second line a size compares with exactly the operators of data/augment.py (no blur below 40 px, half
of the views from there on). A peer is a checkout or an unpacked wheel, whose own transform is measured:
simclr (github.com/sthalles/SimCLR), lightly, or solo-learn (github.com/vturrisi/solo-learn).
"""

import importlib
import itertools
import json
import sys
import types
from pathlib import Path

import measure
import per_image
import torch
import yaml
from torchvision import transforms as T

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
        return len(augment.simclr_views(found, size, generator(0, number), **STATISTICS))
    step()
    return step


def of_simclr(folder, size):
    """The transform of the well-known code, twice."""
    module = module_of(folder, "data_aug.contrastive_learning_dataset")
    return per_image.TwoViews(module.ContrastiveLearningDataset.get_simclr_pipeline_transform(size))


def of_lightly(folder, size):
    """lightly's, with the blur that data/augment.py has."""
    blurred = 0.5 if size >= augment.BLUR_MIN_SIZE else 0.0
    return module_of(folder, "lightly.transforms.simclr_transform").SimCLRTransform(size, gaussian_blur=blurred)


def of_solo_learn(folder, size):
    """solo-learn's, set as its own scripts/pretrain/cifar/augmentations/symmetric.yaml is."""
    constants = types.ModuleType("timm.data.constants")  # all that it wants of timm
    constants.IMAGENET_DEFAULT_MEAN, constants.IMAGENET_DEFAULT_STD = STATISTICS["mean"], STATISTICS["std"]
    sys.modules.update({"timm": constants, "timm.data": constants, "timm.data.constants": constants})
    path = f"{folder}/scripts/pretrain/cifar/augmentations/symmetric.yaml"
    setting, = json.loads(json.dumps(yaml.safe_load(Path(path).read_text())), object_hook=Setting)
    setting.crop_size = size
    sys.path.insert(0, f"{folder}/solo/data")
    return per_image.TwoViews(importlib.import_module("pretrain_dataloader").build_transform_pipeline(
        "imagenet", setting))


class Setting(dict):
    """A dict whose items are attributes, too."""

    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


def module_of(folder, name):
    """Import a module of a checkout."""
    sys.path.insert(0, str(folder))
    return importlib.import_module(name)


PEERS = {"simclr": of_simclr, "lightly": of_lightly, "solo-learn": of_solo_learn}


def same_operators(size):
    """What data/augment.py does, per image."""
    blurs = size >= augment.BLUR_MIN_SIZE
    return per_image.simclr(size, T.RandomApply([per_image.gaussian_blur(size)], 0.5) if blurs else None)


def compare(size, transform, name, arguments, required=None):
    """Print one line. Args: transform: PIL image -> two views."""
    images = per_image.some_images(IMAGES, size)
    step, dataset = batched(images, size), per_image.PerImage(images, transform)
    measure.compare(f"SimCLR views, {size} px", {
        "batched": lambda: measure.rate(step, arguments.seconds),
        name: lambda: per_image.loader_rate(dataset, 2, arguments.seconds, arguments.threads),
    }, arguments.rounds, "views/s", required)


def main(argv=None):
    """Measure every size."""
    parser = measure.parser(__doc__, rounds=5)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FOLDER",
                        help=f"measure a peer's own transform, too: {', '.join(PEERS)}")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(REQUIRED), help="px a side")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each side and round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.seconds = 0.5
    measure.start(arguments)
    utils.keep_freed_memory()  # as the programs do
    for size in arguments.sizes:
        usual = per_image.TwoViews(per_image.simclr(size, per_image.gaussian_blur(size)))
        compare(size, usual, "per image", arguments, REQUIRED.get(size))
        compare(size, per_image.TwoViews(same_operators(size)), "per image, same operators", arguments)
        for name, folder in (peer.split("=", 1) for peer in arguments.peer):
            required = REQUIRED.get(size) if name == "simclr" else None
            compare(size, PEERS[name](folder, size), name, arguments, required)


if __name__ == "__main__":
    main()
