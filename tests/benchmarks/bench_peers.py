"""Whole runs, from a cold start to the last checkpoint, beside whole programs that people use.

    python tests/benchmarks/bench_peers.py --task simclr --size 64 --peer lightly-train=DIR [--start-size 32] [--quick]
    python tests/benchmarks/bench_peers.py --task simclr --size 32 --peer solo-learn=DIR --stem 3x3
    python tests/benchmarks/bench_peers.py --task supervised --size 32 --stem 3x3 --peer pytorch-cifar100=DIR
    python tests/benchmarks/bench_peers.py --task supervised --size 32 --stem 7x7 --peer timm=DIR

DIR: a virtual environment (lightly-train), or a checkout (github.com/vturrisi/solo-learn, sthalles/SimCLR,
weiaicunzai/pytorch-cifar100, huggingface/pytorch-image-models) with one in `.venv` where its own packages are needed.
Each program trains a ResNet-18 on the same image files, ours and theirs in turns, each run twice as a process of its
own: for few epochs and for more. Two figures: seconds of the longer run, with everything that a user waits for (start,
imports, decoding, our store of images, evaluation, checkpoints); and images per second of what it has more than the
shorter, the steady rate. With labels both figures hold each program's evaluations on a fifth as many test images:
theirs after each epoch, ours as often as `--eval-every` is by default. peers.py says what is the same on both sides.

--csv FILE: the CSV of a training of ours from scratch on the 50,000 images of CIFAR-100; FILE's epochs up to the first
with a validation accuracy of 0.70 (on training images held out), without the start of the process, against the epochs
that the CIFAR-100 repository needs, at its steady rate here. Its README gives 75.61 % after 200 epochs and no curve;
assumed is that it passes 0.70 in the first epoch after its second drop of the rate, which is 121 (drops after 60, 120
and 160, `--peer-epochs` for another).
"""

import csv
import itertools
import tempfile
from pathlib import Path

import measure
import peer_images
import peers

REQUIRED = {("simclr", 64, "lightly-train"): 1.8, ("simclr", 64, "solo-learn"): 1.8,
            ("simclr", 32, "lightly-train"): 3, ("simclr", 32, "solo-learn"): 3}  # of steady rates
ACCURACY, SOONER_REQUIRED, CIFAR100_IMAGES = 0.70, 20, 50000
SOURCES = {"simclr": "imagenet/train", "supervised": "cifar100"}


def named(text):
    """NAME=DIR -> (name, folder). Raises: ValueError where the name is not that of a peer or the folder not there."""
    name, _, folder = text.partition("=")
    if name not in peers.PEERS or not Path(folder).is_dir():
        raise ValueError(f"{text}: NAME=DIR with a folder, NAME one of {', '.join(peers.PEERS)}")
    return name, Path(folder).resolve()


def time_to(accuracy, path):
    """(seconds, epoch) until the first epoch of a CSV of ours whose validation accuracy is so high; the rows in between
    may be without. Raises: ValueError where none is."""
    passed = 0.0
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            passed += float(row["seconds"])
            if row["val_accuracy"] and float(row["val_accuracy"]) >= accuracy:
                return passed, int(row["epoch"])
    raise ValueError(f"{path}: no epoch with a validation accuracy of {accuracy}")


def steady(images, epochs, seconds):
    """Images per second of what a longer run has more. Args: epochs, seconds: pairs, shorter and longer; images: of an
    epoch. Raises: ValueError where the longer run did not take longer."""
    if seconds[1] <= seconds[0]:
        raise ValueError(f"{epochs[1]} epochs took {seconds[1]:.1f} s, {epochs[0]} took {seconds[0]:.1f} s: "
                         "more --images")
    return images * (epochs[1] - epochs[0]) / (seconds[1] - seconds[0])


def both_lengths(peer, folder, images, arguments):
    """Seconds of a short and of a long run, each in a fresh folder."""
    found = []
    for epochs in arguments.epochs:
        with tempfile.TemporaryDirectory() as out:
            job = peers.Job(arguments.task, arguments.size, arguments.stem, arguments.batch_size, epochs,
                            arguments.threads, images, Path(out))
            found.append(peers.whole(peer, folder, job, arguments.threads))
    return found


def run_all(sides, images, arguments):
    """Args: sides: name -> (Peer, folder). Returns: name -> list of (seconds short, seconds long), one a round."""
    found = {name: [] for name in sides}
    for number in range(1, arguments.rounds + 1):
        for name, side in sides.items():
            found[name].append(both_lengths(*side, images, arguments))
            short, long = found[name][-1]
            print(f"# round {number}, {name}: {short:.1f} s of {arguments.epochs[0]}, {long:.1f} s of "
                  f"{arguments.epochs[1]} epochs", flush=True)
    return found


def rates_of(found, arguments):
    """name -> steady rates, one a round, without those sides that have none; a line says why."""
    rates = {}
    for name, pairs in found.items():
        try:
            rates[name] = [steady(arguments.images, arguments.epochs, pair) for pair in pairs]
        except ValueError as error:
            print(f"# {name}: no steady rate, {error}", flush=True)
    return rates


def report(found, rates, arguments):
    """Both figures of each side of ours against each peer."""
    about = f"{arguments.task}, {arguments.size} px, {arguments.stem} stem"
    mine = [name for name in found if name not in peers.PEERS]
    for ours, name in itertools.product(mine, [name for name in found if name in peers.PEERS]):
        seconds = {side: [long for _, long in found[side]] for side in (ours, name)}
        measure.report(f"{about}, {arguments.epochs[1]} epochs of {arguments.images} images, whole run", seconds, "s")
        if {ours, name} <= rates.keys():
            measure.report(f"{about}, steady rate", {side: rates[side] for side in (ours, name)}, "images/s",
                           REQUIRED.get((arguments.task, arguments.size, name)))


def report_time(rates, arguments):
    """Time to 0.70 on CIFAR-100, ours as it was, the repository's by its rate."""
    seconds, epoch = time_to(ACCURACY, arguments.csv)
    theirs = [arguments.peer_epochs * CIFAR100_IMAGES / rate for rate in rates]
    print(f"# to {ACCURACY}: ours in epoch {epoch}, the repository's assumed in epoch {arguments.peer_epochs}",
          flush=True)
    measure.report(f"CIFAR-100 from scratch to {ACCURACY} on validation", {
        "ours": [seconds] * len(theirs), "pytorch-cifar100, by its rate": theirs}, "s", SOONER_REQUIRED)


def read(argv):
    """The command line."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=DIR", help=", ".join(peers.PEERS))
    parser.add_argument("--task", choices=SOURCES, default="simclr")
    parser.add_argument("--size", type=int, default=64, help="px a side")
    parser.add_argument("--stem", choices=("7x7", "3x3"), default="7x7", help="on all sides")
    parser.add_argument("--start-size", type=int, help="ours with this --start-size, too")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=2560, help="to train on in an epoch")
    parser.add_argument("--epochs", type=int, nargs=2, default=(1, 3), help="of the short run and of the long one")
    parser.add_argument("--data-dir", type=Path, default=measure.ROOT / "data", help="with imagenet/ and cifar100/")
    parser.add_argument("--csv", type=Path, help="of a training of ours, for the time to 0.70")
    parser.add_argument("--peer-epochs", type=int, default=121, help="of the CIFAR-100 repository to 0.70")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.images = 2 * arguments.batch_size
    try:
        arguments.peer = dict(map(named, arguments.peer))
        for name in arguments.peer:
            if not peers.PEERS[name].knows(arguments.task, arguments.stem):
                raise ValueError(f"{name}: runs {', '.join(map(' '.join, peers.PEERS[name].runs))}")
        if arguments.csv and "pytorch-cifar100" not in arguments.peer:
            raise ValueError("--csv is compared with --peer pytorch-cifar100=DIR")
        if not 0 < arguments.epochs[0] < arguments.epochs[1]:
            raise ValueError("--epochs: fewer, then more")
    except ValueError as error:
        parser.error(str(error))
    return arguments


def main(argv=None):
    """Measure one task at one size."""
    arguments = read(argv)
    measure.start(arguments)
    sides = {"ours": (peers.ours(), measure.ROOT)}
    if arguments.start_size:
        sides[f"ours from {arguments.start_size} px"] = (peers.ours(arguments.start_size), measure.ROOT)
    sides.update({name: (peers.PEERS[name], folder) for name, folder in arguments.peer.items()})
    for name, (peer, folder) in sides.items():
        print(f"# {name}: {peers.version_of(peer, folder)}, {peer.precision}", flush=True)
    with tempfile.TemporaryDirectory() as images:
        make = peer_images.without_labels if arguments.task == "simclr" else peer_images.with_labels
        make(Path(images), arguments.data_dir / SOURCES[arguments.task], arguments.images, arguments.size)
        found = run_all(sides, Path(images), arguments)
    rates = rates_of(found, arguments)
    report(found, rates, arguments)
    if arguments.csv and "pytorch-cifar100" in rates:
        report_time(rates["pytorch-cifar100"], arguments)


if __name__ == "__main__":
    main()
