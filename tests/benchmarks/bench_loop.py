"""The whole training loop against its network's step alone, on random tensors that are there already.

    python tests/benchmarks/bench_loop.py [--quick] [--device cuda] [--steps 200]

ResNet-18, batches of 128: SimCLR at 64 px with the 7x7 stem, and a classifier at 32 px with the 3x3 stem; in float32,
in bf16, and in bf16 compiled. On a GPU the images live in its memory.
"""

import resource
import sys

import measure
import per_image
import torch

sys.path.append(str(measure.ROOT))
import utils  # noqa: E402
from data import augment  # noqa: E402
from data.dataloader import Batches  # noqa: E402
from functions import train_one_epoch  # noqa: E402
from parallel.gradients import Objective  # noqa: E402
from self_supervised_pretrained.simclr import SimCLR, nt_xent  # noqa: E402
from supervised.resnet import resnet  # noqa: E402
from supervised_pretrained.pretraining import classification  # noqa: E402
from training.optimizers import build_optimizer  # noqa: E402

REQUIRED = 0.95
CASES = {"SimCLR, 64 px": (True, 64, "7x7"), "classifier, 32 px, 3x3 stem": (False, 32, "3x3")}
MODES = {"float32": ("off", False), "bf16": ("bf16", False), "bf16 compiled": ("bf16", True)}
STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SOURCES = 2048  # different images


class Loop:
    """A network, its optimizer, and images for some steps of train_one_epoch."""

    def __init__(self, pairs, size, stem, steps, amp="auto", compiled=False, device="cpu"):
        utils.keep_freed_memory()  # as the programs do
        torch.manual_seed(0)
        self.device, self.size, self.pairs = utils.open_device(device), size, pairs
        network = SimCLR("resnet18", 128, stem) if pairs else resnet("resnet18", 100, stem)
        network.to(self.device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer("adam", network, 1e-3, 1e-4)
        self.network = torch.compile(network) if compiled else network
        self.amp = utils.choose_amp(amp, self.device)
        self.objective = (Objective(lambda z, _: nt_xent(z, 0.5), pairs=True) if pairs
                          else classification(torch.nn.CrossEntropyLoss()))
        count = steps * per_image.BATCH_SIZE
        images = per_image.some_images(SOURCES, size)[torch.arange(count) % SOURCES]
        self.batches = Batches(images, torch.arange(count) % 100, per_image.BATCH_SIZE, self.device)
        shape = (self.objective.views * per_image.BATCH_SIZE, 3, size, size)
        self.inputs = torch.randn(shape, device=self.device).contiguous(memory_format=torch.channels_last)
        self.alone()  # compiles, and lets cuDNN choose

    def epoch(self, view):
        """Images per second of one epoch."""
        def run():
            train_one_epoch(self.network, self.batches, self.objective, self.optimizer, lambda step: 1e-4, view=view,
                            seed=0, epoch=1, amp=self.amp)
        return len(self.batches.rows) / measure.seconds(run)

    def whole(self):
        augmentation = augment.simclr_views if self.pairs else augment.crop_flip
        return self.epoch(lambda images, random, share, _: augmentation(images, self.size, random, share=share,
                                                                        **STATISTICS))

    def alone(self):
        return self.epoch(lambda *_: self.inputs)


def peak_memory(device):
    """In GB: of a GPU since the last call, else of this process since it began."""
    if device.type != "cuda":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    peak = torch.cuda.max_memory_allocated(device) / 1e9
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def main(argv=None):
    """Measure every case in every mode."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--steps", type=int, default=10, help="of each side and round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.steps = 2
    measure.start(arguments)
    for case, setting in CASES.items():
        for mode in arguments.modes:
            amp, compiled = MODES[mode]
            loop = Loop(*setting, arguments.steps, amp, compiled, arguments.device)
            measure.compare(f"{case}, {mode}", {"whole loop": loop.whole, "network alone": loop.alone},
                            arguments.rounds, "images/s", REQUIRED)
            print(f"  peak memory {peak_memory(loop.device):.2f} GB", flush=True)


if __name__ == "__main__":
    main()
