"""The grid of six linear classifiers on one frozen backbone, beside its first cell alone, on CIFAR-100.

    python tests/benchmarks/bench_grid.py [--quick]

The first cell finds no features and extracts them from 60,000 images at 224 px, the input of ImageNet weights; here
the weights are random, which takes as long. The grid is started twice in the same folder, for its first cell (CELL=1)
and for the rest, and both times together are those of the grid. All is counted from start to end, 100 epochs a cell.
Reads data/cifar100.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
from bench_linear import CELLS, EPOCHS, make_backbone

sys.path.append(str(measure.ROOT))
from data.datasets import load_split  # noqa: E402

REQUIRED, SIZE = 1.5, 224
SCRIPT = measure.ROOT / "grid_search" / "supervised_pretrained_grid_search.sh"


def grid(folder, arguments, **variables):
    """Run what is unfinished of the grid in a folder. Raises: RuntimeError."""
    environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", SCRIPT, "--pretrained-model-path", f"{folder}/backbone.pth", "--output-dir", folder,
               "--data-dir", arguments.data_dir, "--epochs", arguments.epochs]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def first_and_all(arguments):
    """Seconds of the first cell, and of the whole grid, from a folder without features."""
    with tempfile.TemporaryDirectory() as folder:
        make_backbone(Path(folder) / "backbone.pth", arguments.size)
        first = measure.seconds(lambda: grid(folder, arguments, CELL="1"))
        rest = measure.seconds(lambda: grid(folder, arguments))
        written = len(list(Path(folder).glob("res/*.csv")))
        if written != len(CELLS):
            raise RuntimeError(f"{written} of {len(CELLS)} cells have run")
    print(f"# first cell {first:.1f} s, the other five {rest:.1f} s", flush=True)
    return first, first + rest


def main(argv=None):
    """Measure a grid as often as there are rounds."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    parser.add_argument("--size", type=int, default=SIZE, help="px a side of the network's input")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each cell")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.size, arguments.epochs = 32, 3
    measure.start(arguments)
    for split in ("train", "test"):
        load_split("cifar100", split, arguments.data_dir)
    rounds = [first_and_all(arguments) for _ in range(arguments.rounds)]
    found = {"first cell": [first for first, _ in rounds], "all six": [both for _, both in rounds]}
    measure.report(f"frozen grid at {arguments.size} px, {arguments.epochs} epochs", found, "s", REQUIRED, "most")


if __name__ == "__main__":
    main()
