"""A linear classifier on CIFAR-100: features extracted once, beside a forward of every image in every epoch.

    python tests/benchmarks/bench_linear.py [--quick]

Ours is train.py as a whole process, from start to end: imports, extraction, 100 epochs with evaluation, files.
The usual way is timed on a part of one epoch and multiplied: a DataLoader that crops, flips and normalises per
image, and a float32 forward through the frozen network; its evaluation, start and files are not counted.
Reads data/cifar100.
"""

import sys
import tempfile
from pathlib import Path

import measure
import per_image
import torch
from torch.utils.data import DataLoader

sys.path.append(str(measure.ROOT))
from data.datasets import DATASETS, load_split  # noqa: E402
from records import checkpoint  # noqa: E402
from self_supervised_pretrained.simclr import SimCLR  # noqa: E402

ONE_REQUIRED, SIX_REQUIRED = 80, 60
SIZE, EPOCHS, VAL_RATIO = 32, 100, 0.1
CELLS = [(optimizer, lr) for optimizer in ("sgd", "adam") for lr in (0.1, 0.01, 0.001)]


def make_backbone(path, size=SIZE):
    """A checkpoint with random weights, which take as long as trained ones."""
    torch.manual_seed(0)
    dataset = DATASETS["cifar100"]
    checkpoint.save(path, {
        "model": SimCLR("resnet18", 128, "7x7").state_dict(),
        "trained_as": {"stem": "7x7", "image_size": size, "mean": dataset.mean, "std": dataset.std}})


def ours(cells, arguments):
    """Seconds of some cells one after the other, one process each, that begin without any features."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.pth"
        make_backbone(path)

        def train():
            for optimizer, lr in cells:
                measure.run([measure.ROOT / "train.py", "--model-type", "SelfSupervisedPretrained",
                             "--optimizer", optimizer, "--lr", lr, "--epochs", EPOCHS, "--val-ratio", VAL_RATIO,
                             "--pretrained-model-path", path, "--output-dir", folder,
                             "--data-dir", arguments.data_dir])
        return measure.seconds(train)


def usual(arguments):
    """Seconds of all epochs of one cell, from the rate of some batches of the first."""
    split, dataset = load_split("cifar100", "train", arguments.data_dir), DATASETS["cifar100"]
    transform = per_image.crop_flip(SIZE, dataset.mean, dataset.std)
    images = per_image.PerImage(split.images, transform, len(split.rows), split.labels)
    loader = iter(DataLoader(images, per_image.BATCH_SIZE, shuffle=True, num_workers=arguments.threads))
    model = SimCLR("resnet18", 128, "7x7").backbone
    model.fc = torch.nn.Linear(512, len(split.classes))
    model.requires_grad_(False).eval()
    model.fc.requires_grad_(True)
    optimizer, criterion = torch.optim.SGD(model.fc.parameters(), 0.1), torch.nn.CrossEntropyLoss()

    def step():
        pixels, labels = next(loader)
        optimizer.zero_grad()
        criterion(model(pixels), labels).backward()
        optimizer.step()
        return len(labels)
    step()
    return EPOCHS * (1 - VAL_RATIO) * len(split.rows) / measure.rate(step, arguments.seconds)


def main(argv=None):
    """Measure one cell and six."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the usual way, each round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.seconds = 2
    measure.start(arguments)
    for split in ("train", "test"):
        load_split("cifar100", split, arguments.data_dir)
    found = measure.compare("linear classifier, 100 epochs", {
        "features once": lambda: ours(CELLS[:1], arguments),
        "usual": lambda: usual(arguments)}, arguments.rounds, "s", ONE_REQUIRED)
    six = {"features once": [ours(CELLS, arguments) for _ in range(arguments.rounds)],
           "usual": [6 * seconds for seconds in found["usual"]]}
    measure.report("six linear classifiers that share a backbone", six, "s", SIX_REQUIRED)


if __name__ == "__main__":
    main()
