"""A ResNet-18's step alone, forward and backward in bf16, beside the same network with PyTorch's convolutions only.

    python tests/benchmarks/bench_small_maps.py [--threads 1] [--quick]

At the sizes and stems at which the suite trains; the last layers' maps have 1 to 4 px a side there.
"""

import sys

import measure
import torch

sys.path.append(str(measure.ROOT))
import utils  # noqa: E402
from supervised.convolution import SmallMapConv2d  # noqa: E402
from supervised.resnet import resnet  # noqa: E402

SIZES = ((16, "3x3"), (24, "3x3"), (32, "3x3"), (32, "7x7"), (64, "7x7"))  # px, stem
BATCH, SECONDS = 128, 4


def network(stem, plain):
    """A ResNet-18; plain: with nothing but nn.Conv2d."""
    model = resnet("resnet18", 100, stem).to(memory_format=torch.channels_last)
    for module in model.modules():
        if plain and isinstance(module, SmallMapConv2d):
            module.__class__ = torch.nn.Conv2d
    return model


def images_per_second(model, size, seconds):
    """Of steps on the same random images, the first one left out."""
    images = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        model.zero_grad()
        logits.square().mean().backward()
        return BATCH
    step()
    return measure.rate(step, seconds)


def main(argv=None):
    """Measure each size."""
    arguments = measure.parser(__doc__, rounds=3).parse_args(argv)
    measure.start(arguments)
    utils.keep_freed_memory()  # as the programs do
    seconds = 0 if arguments.quick else SECONDS
    for size, stem in SIZES:
        models = {"ours": network(stem, False), "convolutions": network(stem, True)}
        measure.compare(f"step at {size} px, {stem} stem", {
            name: lambda model=model, size=size: images_per_second(model, size, seconds)
            for name, model in models.items()}, arguments.rounds, "images/s")


if __name__ == "__main__":
    main()
