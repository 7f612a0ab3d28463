"""Classify pictures with a trained checkpoint: a row of CSV for each."""

import argparse
import contextlib
import csv
import io
import sys
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple

import torch
from torch.nn import functional as F

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from data.datasets import DATASETS, images_digest, load_split, open_source, stored_size
from data.own import check_drawn
from data.pictures import decoded, pictures
from functions import Backbone, autocast, labelled_view
from records import checkpoint
from records.files import protected, whole, writing
from records.names import printable
from records.rows import npz_rows
from records.trained import are_others, check_made_by, find_trained, network_of, store_options
from training.features import kept_features

SHOWN = 5  # classes of a picture
BANK_ROWS = 16384  # features of training pictures that are compared at once
MOST_NEIGHBOURS = 1000


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}
    parser = utils.build_parser(__doc__, "I", choices, model_type=None, data=None, data_dir=None,
                                batch_size=settings.EVAL_BATCH_SIZE)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE",
                        help="a picture, a folder (any depth), or a list of pictures: a name a line "
                        "(.txt), or a column `file`, else the first (.csv, .tsv)")
    parser.add_argument("--out", type=utils.path, metavar="FILE",
                        help="CSV to write (default: standard output)")
    parser.add_argument("--neighbours", type=_count, default=0, metavar="K",
                        help="name the K training pictures whose features are nearest, by cosine")
    parser.add_argument("--sort", choices=("given", "uncertain"), default="given",
                        help="uncertain: lowest top probability first, to label next; names and "
                        "numbers, not pictures, are kept in memory until the end")
    parser.add_argument("--features", type=utils.path, metavar="FILE.npz",
                        help="write names and float32 features of the readable pictures, too")
    args = parser.parse_args(argv)
    if not (args.checkpoint or args.model_type):
        parser.error("name --checkpoint, or the --model-type whose newest run is to be applied")
    utils.check_split(parser, args)
    read = [path for path in (*args.pictures, args.checkpoint, args.split) if path]
    for flag, path in (("--out", args.out), ("--features", args.features)):
        if path and protected(path, read):
            parser.error(f"{flag} {printable(path)} {protected(path, read)}; name another")
    if args.out and args.features and args.out.absolute() == args.features.absolute():
        parser.error("--out and --features are one file; name another")
    return args


def _count(text):
    if not (text.isascii() and text.isdecimal() and int(text) <= MOST_NEIGHBOURS):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 0 to "
                                         f"{MOST_NEIGHBOURS}")
    return int(text)


def main(argv=None):
    """Parse, load the checkpoint, classify picture after picture, write.

    Raises: ValueError at the end where pictures could not be read; all others are written.
    """
    args, stdout = parse(argv), sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what is said must not stand among the rows
        classifier = load(args)
        neighbours = find_neighbours(args, classifier) if args.neighbours else None
        with contextlib.ExitStack() as files:
            table = files.enter_context(_table(args.out, stdout))
            add = None
            if args.features:
                width = classifier.model.fc.in_features
                with writing(args.features.parent, "features", "--features in another"):
                    add = files.enter_context(npz_rows(args.features, width))
            count, broken = classify(args, classifier, neighbours, table, add)
    if broken:
        raise ValueError(f"{broken} of {count} pictures could not be read, see above; the others "
                         "are done")


class Classifier(NamedTuple):
    """model: on its device. data: name of the dataset it was trained on; data_dir: where it lies;
    store_options: as from records.trained. classes: names. trained_as: its input. amp: of its forward
    pass. are_others: digest of training pictures -> whether they are known to be others."""

    model: torch.nn.Module
    data: str
    data_dir: Path
    store_options: dict
    classes: list
    trained_as: dict
    amp: str
    device: torch.device
    are_others: Callable

    @property
    def stored_size(self):
        """px a side to which pictures are decoded, as its dataset's were."""
        return stored_size(self.data, self.trained_as["image_size"])

    @property
    def input(self):
        """(px a side, mean, std), as functions.labelled_view takes them."""
        return tuple(self.trained_as[name] for name in ("image_size", "mean", "std"))


def load(args):
    """The classifier that the settings name. Raises: ValueError, FileNotFoundError."""
    device, path = utils.open_device(args.device), args.checkpoint
    if path is None:
        folder = args.output_dir / "checkpoint" / args.model_type
        path = find_trained(folder, args.data or settings.LABELLED_DATA, args.data_dir)
        print(f"classifying with {path}")
    state = checkpoint.read(path)
    check_made_by(state, path, args.model_type)
    config = state["config"]
    if args.data not in (None, config["data"]):
        raise ValueError(f"{path}: was trained on {config['data']}; leave --data {args.data} out")
    model = network_of(state).eval().to(device, memory_format=torch.channels_last)
    amp = utils.choose_amp(config["amp"] if args.amp == "auto" else args.amp, device)
    data_dir = args.data_dir or Path(config.get("data_dir", "data"))
    return Classifier(model, config["data"], data_dir, store_options(args, config), state["classes"],
                      state["trained_as"], amp, device, partial(are_others, state, "images"))


def classify(args, classifier, neighbours, table, add):
    """Write a row for each picture.

    Args: neighbours: features (n, D) -> n lists of names, or None. table: an open file. add: called
        with (names, features float32 (n, D)) of each batch, or None.
    Returns: (how many pictures there were, how many of them could not be read).
    Raises: FileNotFoundError where there are none.
    """
    view, kept, count, broken = labelled_view(*classifier.input), [], 0, 0
    write = csv.writer(table, lineterminator="\n").writerows
    shown = min(SHOWN, len(classifier.classes))
    width = 2 * shown + args.neighbours
    found = decoded(pictures(args.pictures), classifier.stored_size, args.workers)
    for batch in batched(found, args.batch_size):
        if not count:
            write([header(shown, args.neighbours)])
        readable = [picture for picture in batch if picture.image is not None]
        rows = iter(())
        if readable:
            images = torch.stack([torch.from_numpy(picture.image) for picture in readable])
            features, logits = forward(classifier, view, images)
            names = [picture.name for picture in readable]
            near = neighbours(features) if neighbours else [[]] * len(names)
            if add:
                add(names, features.cpu().numpy())
            rows = iter(zip(answers(logits, classifier.classes, shown), near))
        for picture in batch:
            if picture.image is None:
                print(f"broken: {picture.reason}", file=sys.stderr)
                row = picture.name, *[""] * width
            else:
                answer, names = next(rows)
                row = picture.name, *answer, *names
            kept.append(row)
        count, broken = count + len(batch), broken + len(batch) - len(readable)
        if args.sort == "given":
            write(kept)
            table.flush()
            kept.clear()
    kept.sort(key=lambda row: (row[2] == "", float(row[2] or 1)))
    write(kept)
    if not count:
        raise FileNotFoundError(f"no pictures in {', '.join(args.pictures)}: expected some (.jpg, "
                                ".png, .webp, ...), folders of them, or lists of their names")
    return count, broken


def batched(found, size):
    """Cut pictures into the batches that test.py would cut the readable ones into: a single last one
    joins the batch before. Yields: lists of Picture, broken ones among them."""
    batch, readable = [], 0
    for picture in found:
        batch.append(picture)
        readable += picture.image is not None
        if readable == size + 2 or len(batch) == 2 * size + 2:
            cut = _place_after(batch, size)
            yield batch[:cut]
            batch, readable = batch[cut:], sum(p.image is not None for p in batch[cut:])
    if batch:
        yield batch


def _place_after(batch, size):
    """How many pictures have so many readable ones among them, or all if there are fewer."""
    for place, picture in enumerate(batch, start=1):
        size -= picture.image is not None
        if not size:
            return place
    return len(batch)


@torch.no_grad()
def forward(classifier, view, images):
    """What a network makes of images, as functions.predict does.

    Args: images: uint8 (B, H, H, 3). Returns: (features (B, D), logits (B, classes)), float32.
    """
    inputs = view(images.to(classifier.device), None)
    with autocast(classifier.device, classifier.amp):
        features = classifier.model.features(inputs)
    return features, classifier.model.fc(features)


def header(shown, neighbours):
    """The columns of the table."""
    more = [f"{name}{k}" for k in range(2, shown + 1) for name in ("class", "probability")]
    return ["file", "class", "probability", *more,
            *(f"neighbour{k}" for k in range(1, neighbours + 1))]


def answers(logits, classes, shown):
    """Yield [class, probability, next class, ...] for each row of logits (B, classes)."""
    shares, places = logits.softmax(1).topk(shown, dim=1)
    for row in zip(places.tolist(), shares.tolist()):
        yield [value for place, share in zip(*row) for value in (classes[place], f"{share:.6f}")]


def find_neighbours(args, classifier):
    """Features of the training pictures (the whole part `train`), from disk where they are there.

    Returns: a function from features (n, D) to n lists of names: files or, where the dataset has
        none, rows of it; as many as asked for, "" where the training has fewer pictures.
    """
    if classifier.data == "folder":
        check_drawn(classifier.data_dir, **classifier.store_options)
    train = load_split(classifier.data, "train", classifier.data_dir, classifier.stored_size,
                       workers=args.workers, max_bad_images=args.max_bad_images,
                       **classifier.store_options)
    if classifier.are_others(images_digest(train)):
        print(f"neighbours: the training pictures in {printable(classifier.data_dir)} are not those "
              "that the network was trained on")
    backbone = Backbone(classifier.model, *classifier.input, classifier.trained_as)
    bank = kept_features(args.output_dir / "checkpoint" / "features", backbone, train,
                         classifier.device, classifier.amp)[0]
    source = open_source(classifier.data, "train", classifier.data_dir, **classifier.store_options)
    name = source.name if source else str

    def neighbours(features):
        missing = [""] * (args.neighbours - len(bank))
        return [[name(int(train.rows[k])) for k in row] + missing
                for row in nearest(bank, features, args.neighbours).tolist()]
    return neighbours


def nearest(bank, features, count):
    """The rows of a bank nearest to each of some features by cosine, nearest first.

    Args: bank: float32 (M, D) array or memory map. features: float32 (n, D).
    Returns: int64 (n, min(count, M)).
    """
    queries = F.normalize(features, dim=1)
    best, places = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0).long()
    for start in range(0, len(bank), BANK_ROWS):
        part = torch.from_numpy(bank[start:start + BANK_ROWS]).to(queries.device)
        similar = queries @ F.normalize(part, dim=1).T
        numbers = torch.arange(start, start + len(part)).expand(len(queries), -1)
        best, order = torch.cat([best, similar], 1).topk(min(count, start + len(part)), dim=1)
        places = torch.cat([places, numbers], 1).gather(1, order.cpu())
    return places


@contextlib.contextmanager
def _table(path, stdout):
    """A file for csv.writer in which every name is as it was, also one that is no UTF-8."""
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    if path:
        with contextlib.ExitStack() as files:
            with writing(path.parent, "table", "--out in another"):
                file = files.enter_context(whole(path, **options))
            yield file
        return
    if stdout is None:
        raise ValueError("there is no standard output to write to; name a file with --out")
    stdout.flush()
    file = io.TextIOWrapper(stdout.buffer, **options)
    try:
        yield file
    finally:
        file.detach()  # flushes, and leaves stdout open


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
