"""What tests/parallel/test_distributed.py has several processes do: every program and method, one after the other.

    torchrun --nproc-per-node=2 tests/parallel/all_methods.py FOLDER [options of all programs]

On some of the digits, in float64: so few images and steps, with batch norm over single pixels, multiply float32's
rounding into differences as large as the losses.
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
from supervised.resnet import ResNet  # noqa: E402

SHORT = ["--data", "digits", "--epochs", "2", "--image-size", "32", "--amp", "off", "--warmup-epochs", "0"]


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
    """Pre-train in every way, then train all five methods."""
    in_float64()
    common = ["--output-dir", str(folder / "out"), *SHORT, *more]
    for model_type, kind in PRETRAININGS.items():
        batch_size = "10" if kind.labels else "43"  # of 45: the last one 5, or 2 for pairs
        pretrain.main(["--model-type", model_type, "--sample-ratio", "0.05", "--batch-size", batch_size, "--stem",
                       "7x7", "--lr", "1e-3", "--optimizer", "sgd", "--knn-every", "1", *common])
    for model_type, kind in MODEL_TYPES.items():
        found = sorted((folder / "out" / "checkpoint" / kind.pretraining).glob("*/last.pth")) if kind.pretraining else []
        weights = ["--pretrained-model-path", str(found[0])] if found else ["--stem", "7x7"]
        train.main(["--model-type", model_type, "--batch-size", "8", "--lr", "0.01", "--val-ratio", "0.2",
                    "--label-ratio", "0.2", *weights, *common])
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
