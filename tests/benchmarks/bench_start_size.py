"""SimCLR with and without --start-size: seconds of a whole run, and what its features are worth.

    python tests/benchmarks/bench_start_size.py [--quick] [--epochs 6] [--sample-ratio 0.3]

Both sides run for as many epochs on the same images, in turns, each round with another seed. Worth: kNN accuracy on the
10,000 test images of CIFAR-100 with 20,000 training images as neighbours, at the final size. Reads data/imagenet and
data/cifar100.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import measure
import torch

sys.path.append(str(measure.ROOT))
from data.dataloader import Batches  # noqa: E402
from data.datasets import DATASETS, load_split  # noqa: E402
from data.sampling import stratified  # noqa: E402
from functions import build_model, labelled_view  # noqa: E402
from conf.methods import MODEL_TYPES  # noqa: E402
from training.features import extract_features, knn_accuracy  # noqa: E402
from utils import choose_amp  # noqa: E402

REQUIRED, NEIGHBOURS = 1.5, 20000


def pretrain(folder, arguments, seed, *more):
    """Run pretrain.py. Returns: (seconds, checkpoint)."""
    started = time.perf_counter()
    measure.run([measure.ROOT / "pretrain.py", "--data-dir", arguments.data_dir, "--output-dir", folder, "--lr", "3e-4",
                 "--sample-ratio", arguments.sample_ratio, "--image-size", arguments.size, "--epochs", arguments.epochs,
                 "--temperature", "0.1", "--crop-scale", "0.25", "--batch-size", "128", "--knn-every", "0",
                 "--stem", "7x7",
                 "--seed", seed, *more], cwd=folder)
    seconds = time.perf_counter() - started
    return seconds, next(Path(folder).glob("checkpoint/*/*/last.pth"))


def worth(path, arguments):
    """kNN accuracy of a checkpoint's features."""
    backbone = build_model(MODEL_TYPES["SelfSupervisedPretrained"], "resnet18", 100, DATASETS["cifar100"], path)
    amp, found = choose_amp("auto", torch.device("cpu")), []
    for part, share in (("train", NEIGHBOURS / 50000), ("test", 1.0)):
        split = load_split("cifar100", part, arguments.data_dir, arguments.size)
        rows = split.rows[stratified(split.labels[split.rows], share * (0.05 if arguments.quick else 1), 0)]
        batches = Batches(split.images, split.labels, 256, "cpu", rows)
        features = torch.cat(list(extract_features(backbone.model, batches, labelled_view(*backbone.input), amp)))
        found += [features, torch.as_tensor(split.labels[rows])]
    return knn_accuracy(*found)


def main(argv=None):
    """Measure both sides as often as there are rounds."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    parser.add_argument("--size", type=int, default=64, help="px a side in the end")
    parser.add_argument("--start-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sample-ratio", type=float, default=0.3)
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.epochs, arguments.sample_ratio = 1, 0.02
    measure.start(arguments)
    arguments.data_dir = arguments.data_dir.resolve()
    load_split("imagenet", "pretrain", arguments.data_dir, arguments.size, arguments.sample_ratio)
    sides = {"growing": ["--start-size", arguments.start_size], "of one size": []}
    seconds, accuracies = {name: [] for name in sides}, {name: [] for name in sides}
    for seed in range(arguments.rounds):
        for name, more in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                taken, path = pretrain(folder, arguments, seed, *more)
                seconds[name].append(taken)
                accuracies[name].append(worth(path, arguments))
            print(f"# seed {seed}, {name}: {taken:.1f} s, kNN accuracy {accuracies[name][-1]:.4f}", flush=True)
    measure.report(f"SimCLR at {arguments.size} px, {arguments.epochs} epochs", seconds, "s", REQUIRED)
    means = {name: statistics.fmean(found) for name, found in accuracies.items()}
    print("kNN accuracy: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()), flush=True)


if __name__ == "__main__":
    main()
