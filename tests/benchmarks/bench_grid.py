"""Grids of linear classifiers on one frozen backbone, beside their first cell alone and as many such, on CIFAR-100.

    python tests/benchmarks/bench_grid.py [--quick] [--cells 6 24]

The first cell finds no features and extracts them from 60,000 images at 224 px, the input of ImageNet weights; here
the weights are random, which takes as long. The grid is started in one folder for its first cell (CELL=1), for the rest
of its six, and for what more cells, with further weight decays, add to these; the times up to a number of cells are
together those of their grid. As many such: if each cell extracted for itself, so many times the first. All is counted
from start to end, 100 epochs a cell.
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

REQUIRED, SIZE = {6: 1.5, 24: 2.0}, 224  # by cells, times the first
DECAYS = ("5e-4", "0", "1e-5", "1e-4")  # the default first, whose cells are those of the plain grid
SCRIPT = measure.ROOT / "grid_search" / "supervised_pretrained_grid_search.sh"


def grid(folder, arguments, **variables):
    """Run what is unfinished of the grid in a folder. Raises: RuntimeError."""
    environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", SCRIPT, "--pretrained-model-path", f"{folder}/backbone.pth", "--output-dir", folder,
               "--data-dir", arguments.data_dir, "--epochs", arguments.epochs]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def vary(cells):
    """VARY of a grid of so many cells."""
    return f"--weight-decay {','.join(DECAYS[:cells // len(CELLS)])}"


def by_cells(arguments):
    """Number of cells -> seconds from a folder without features, of one cell and of each grid."""
    found, passed = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        make_backbone(Path(folder) / "backbone.pth", arguments.size)
        for cells in (1, *arguments.cells):
            part = {"CELL": "1"} if cells == 1 else {"VARY": vary(cells)}
            passed += measure.seconds(lambda part=part: grid(folder, arguments, **part))
            written = len(list(Path(folder).glob("res/*.csv")))
            if written != cells:
                raise RuntimeError(f"{written} of {cells} cells have run")
            found[cells] = passed
    print("# " + ", ".join(f"{cells} {seconds:.1f} s" for cells, seconds in found.items()), flush=True)
    return found


def main(argv=None):
    """Measure a grid as often as there are rounds."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data")
    parser.add_argument("--size", type=int, default=SIZE, help="px a side of the network's input")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each cell")
    sizes = [len(CELLS) * number for number in range(1, len(DECAYS) + 1)]
    parser.add_argument("--cells", type=int, nargs="+", choices=sizes, default=[len(CELLS)], help="of the grids")
    arguments = parser.parse_args(argv)
    arguments.cells = sorted(set(arguments.cells))
    if arguments.quick:
        arguments.size, arguments.epochs = 32, 3
    measure.start(arguments)
    for split in ("train", "test"):
        load_split("cifar100", split, arguments.data_dir)
    rounds = [by_cells(arguments) for _ in range(arguments.rounds)]
    about = f"frozen grid at {arguments.size} px, {arguments.epochs} epochs"
    for cells in arguments.cells:
        first, all_of = [found[1] for found in rounds], [found[cells] for found in rounds]
        measure.report(about, {"first cell": first, f"all {cells}": all_of}, "s", REQUIRED.get(cells), "most")
        measure.report(about, {f"all {cells}": all_of, f"{cells} times the first": [cells * one for one in first]}, "s")


if __name__ == "__main__":
    main()
