"""What test_distributed.py has several processes do: gradients, then every program and method, one after the other.

    torchrun --nproc-per-node=2 tests/parallel/all_methods.py FOLDER [options of all programs]

On the images in FOLDER/data, in float64: so few images and steps, with batch norm over single pixels, multiply the
rounding of float32 into differences as large as the losses.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import pretrain  # noqa: E402
import train  # noqa: E402
from functions import MODEL_TYPES  # noqa: E402
from parallel import distributed  # noqa: E402
from self_supervised_pretrained.registry import PRETRAININGS  # noqa: E402
from self_supervised_pretrained.simclr import SimCLR  # noqa: E402
from self_supervised_pretrained.vicreg import VICReg  # noqa: E402
from supervised import resnet  # noqa: E402
from supervised.resnet import ResNet  # noqa: E402
from tests.parallel import one_gradient  # noqa: E402
from training import penalties  # noqa: E402

SHORT = ["--epochs", "2", "--image-size", "32", "--amp", "off", "--warmup-epochs", "0"]


def in_float64():
    """Have networks made from now on compute in float64, whatever they are given."""
    def wide(make):
        def init(self, *arguments, **options):
            make(self, *arguments, **options)
            self.double()
        return init

    features, linear = ResNet.features, torch.nn.Linear.forward
    ResNet.features = lambda self, images: features(self, images.double())
    torch.nn.Linear.forward = lambda self, x: linear(self, x.double())
    for network in (ResNet, SimCLR, VICReg):
        network.__init__ = wide(network.__init__)


def main(folder, *more):
    """Compute gradients, pre-train in every way, then train all five methods, linear classifiers by steps and whole."""
    one_gradient.main(folder / "gradients.pth")
    resnet.WIDTH, penalties.LOWEST = 8, 0.1  # of a lower penalty rounding tells where it ends
    in_float64()
    common = ["--data-dir", str(folder / "data"), "--output-dir", str(folder / "out"), *SHORT, *more]
    for model_type, kind in PRETRAININGS.items():
        batch_size = "10" if kind.labels else "22"  # of 24: the last one 4, or 2 for pairs
        probe = ["--knn-data", "cifar100"] if kind.labels else []
        pretrain.main(["--model-type", model_type, "--batch-size", batch_size, "--sample-ratio", "1", "--stem", "7x7",
                       "--lr", "1e-3", "--optimizer", "sgd", "--knn-every", "1", *probe, *common])
    for model_type, kind in MODEL_TYPES.items():
        found = list(folder.glob(f"out/checkpoint/{kind.pretraining}/*/last.pth")) if kind.pretraining else []
        weights = ["--pretrained-model-path", str(found[0])] if found else ["--stem", "7x7"]
        for more in [[]] + [["--optimizer", "lbfgs", "--class-weights", "balanced"]] * kind.frozen:
            train.main(["--model-type", model_type, "--batch-size", "8", "--lr", "0.01", "--val-ratio", "0.2",
                        "--label-ratio", "0.6", *weights, *more, *common])
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
