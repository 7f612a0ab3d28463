"""Runs a peer's program as it is, in its own Python, where its command line lacks a setting.

    python peer_launch.py CHANGES PROGRAM [its arguments]

CHANGES: JSON, of which each key is optional.
    "images", "size": SimCLR's well-known code, which knows CIFAR-10 and STL-10 alone, reads this folder at this size
    "epochs", "workers": the CIFAR-100 repository, which has them in its code, takes these, and writes a checkpoint at
        its last epoch
torchvision's CIFAR datasets take the pickles that they find for what they are: these hold other images.
"""

import json
import runpy
import sys
from pathlib import Path

import torchvision


def read_folder(images, size):
    """Let SimCLR's code read a folder of classes, through its own transform."""
    from data_aug.contrastive_learning_dataset import ContrastiveLearningDataset as Source
    from data_aug.view_generator import ContrastiveLearningViewGenerator as Views

    def get_dataset(self, name, n_views):
        return torchvision.datasets.ImageFolder(images, Views(self.get_simclr_pipeline_transform(size), n_views))
    Source.get_dataset = get_dataset


def set_length(epochs, workers):
    """Give the CIFAR-100 repository its epochs, and each of its loaders so many workers."""
    import conf
    import utils
    conf.settings.EPOCH = conf.settings.SAVE_EPOCH = epochs

    def with_workers(loader):
        return lambda *args, **options: loader(*args, **{**options, "num_workers": workers})
    for name in ("get_training_dataloader", "get_test_dataloader"):
        setattr(utils, name, with_workers(getattr(utils, name)))


def main():
    """Change what is asked for, then be the program."""
    changes, program = json.loads(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(program).parent)
    torchvision.datasets.cifar.check_integrity = lambda *args: True
    if "images" in changes:
        read_folder(changes["images"], changes["size"])
    if "epochs" in changes:
        set_length(changes["epochs"], changes["workers"])
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
