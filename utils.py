"""The argument table of all programs, run names, CSV rows, seeds and devices."""

import argparse
import csv
import os
import re
import sys
from pathlib import Path

import torch

from conf import global_settings as settings
from parallel import distributed
from records.files import whole

DIGITS = 100  # of a number on the command line, at most
_PLAIN = {int: re.compile(r"[+-]?[0-9]+"),
          float: re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)}


def _number(kind, low, high, open_low=False, open_high=False):
    """A parser of numbers between two bounds, written as 128, 0.1 or 1e-4: Python's own would also
    take 1_000, digits of other scripts, blanks, nan and inf."""
    def parse(text):
        if not _PLAIN[kind].fullmatch(text) or len(text) > DIGITS:
            whole = "a whole number, as 128" if kind is int else "a number, as 0.1 or 1e-4"
            raise argparse.ArgumentTypeError(f"{text[:DIGITS]!r} is not {whole}")
        value = kind(text) + 0  # -0.0 becomes 0.0
        enough = low < value if open_low else low <= value
        if not enough or not (value < high if open_high else value <= high):
            raise argparse.ArgumentTypeError(
                f"{text} must be {'above' if open_low else 'at least'} {low} and "
                f"{'below' if open_high else 'at most'} {high}")
        return value
    return parse


def _boolean(text):
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() == "true"


def _milestones(text):
    found = [_number(float, 0, 1, open_low=True, open_high=True)(part) for part in text.split(",")]
    if sorted(set(found)) != found:
        raise argparse.ArgumentTypeError(f"{text} must ascend, as 0.3,0.6,0.8")
    return found


def path(text):
    """A path as it was typed, but for a `~` at its beginning, which no shell expands after `=`."""
    return Path(os.path.expanduser(text))


def utf8_path(text):
    """As `path`, for a folder that TensorBoard writes into: it knows file names in UTF-8 alone.

    Raises: argparse.ArgumentTypeError for another name, or one that this locale cannot read.
    """
    found = path(text)
    try:
        str(found).encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{ascii(text)} is not UTF-8; take another name or, where the locale "
            "misreads it, set PYTHONUTF8=1") from None
    return found


def _rgb(low, open_low=False):
    """Three numbers with commas between, of red, green and blue."""
    def parse(text):
        number = _number(float, low, 1e6, open_low=open_low)
        values = [number(part) for part in text.split(",")]
        if len(values) != 3:
            raise argparse.ArgumentTypeError(f"{text!r} is not three numbers: red,green,blue")
        return values
    return parse


# Bounds that no meaning sets keep a slip from ending in an overflow, or after hours.
MANY = 10 ** 6  # epochs, images of a batch and the like
_COUNT = _number(int, 1, MANY)
_RATE = _number(float, 0, 1e30, open_low=True)  # float32 ends at 3e38
_RATIO = _number(float, 0, 1, open_low=True)
ARGUMENTS = {
    "resume": dict(type=_boolean, nargs="?", const=True, default=False,
                   help="go on from the run's last checkpoint"),
    "device": dict(default="cpu", help="cpu, cuda or cuda:N"),
    "lr": dict(type=_RATE, default=0.1, help="peak learning rate"),
    "optimizer": dict(choices=("sgd", "adam", "lars"), default="sgd", help="optimizer"),
    "criterion": dict(choices=("CrossEntropyLoss", "MultiMarginLoss"), default="CrossEntropyLoss",
                      help="loss"),
    "batch_size": dict(type=_COUNT, default=128, help="images in a batch"),
    "label_smoothing": dict(type=_number(float, 0, 1, open_high=True), default=0.0,
                            help="of CrossEntropyLoss in training"),
    "model_type": dict(help="method"),
    "data": dict(help="dataset"),
    "data_dir": dict(type=path, default=Path("data"), help="folder that holds the datasets"),
    "store_dir": dict(type=path,
                      help="folder for the decoded images (default: store/ in --data-dir)"),
    "output_dir": dict(type=utf8_path, default=Path("."), help="folder for checkpoint/, runs/ and res/"),
    "pretrained_model_path": dict(type=path,
                                  help="checkpoint to start from (default: the newest matching "
                                  "one, or the ImageNet weights)"),
    "checkpoint": dict(type=path,
                       help="checkpoint to test (default: the newest of the model type)"),
    "csv_dir": dict(type=path, help="write accuracy by class, confusion matrix and all predictions "
                    "into CSV files in this folder"),
    "sample_ratio": dict(type=_RATIO, default=1.0,
                         help="share of the images to pre-train on, class by class"),
    "label_ratio": dict(type=_RATIO, default=1.0,
                        help="share of the labelled training images to use"),
    "val_ratio": dict(type=_number(float, 0, 0.9), default=0.1,
                      help="share of the training set held out to choose on"),
    "epochs": dict(type=_COUNT, default=200, help="passes over the training images"),
    "warmup_epochs": dict(type=_number(float, 0, MANY),
                          help="epochs of linear warm-up (default: a tenth, at most 10)"),
    "scheduler": dict(choices=("cosine", "milestones", "constant"), default="cosine",
                      help="after the warm-up"),
    "milestones": dict(type=_milestones, default=[0.3, 0.6, 0.8],
                       help="comma-separated fractions of the run, ascending"),
    "weight_decay": dict(type=_number(float, 0, MANY), default=5e-4,
                         help="not on biases and batch-norm"),
    "arch": dict(choices=("resnet18", "resnet34", "resnet50"), default="resnet18", help="network"),
    "stem": dict(choices=("auto", "7x7", "3x3"), default="auto",
                 help="first layers; auto: 3x3 to pre-train at up to 32 px and to train without "
                 "pre-trained weights, else 7x7"),
    "out_dim": dict(type=_number(int, 1, 2 ** 16), default=128,
                    help="outputs of the projection head"),
    "image_size": dict(type=_number(int, 8, 1024),
                       help="px a side of the network's input (default: the method's)"),
    "mean": dict(type=_rgb(-1e6), metavar="R,G,B",
                 help="mean of the network's input, of pixels in [0, 1] (default: the weights' or "
                 "the dataset's)"),
    "std": dict(type=_rgb(0, open_low=True), metavar="R,G,B",
                help="standard deviation of the network's input (default: the weights' or the "
                "dataset's)"),
    "temperature": dict(type=_number(float, 0.001, 1000), default=0.5, help="of NT-Xent"),
    "crop_scale": dict(type=_number(float, 0.0001, 1), default=0.08,
                       help="smallest share of the image that a crop covers"),
    "knn_every": dict(type=_number(int, 0, MANY), default=5,
                      help="epochs between kNN evaluations, 0 for none"),
    "knn_data": dict(help="labelled dataset for the kNN accuracy (default: --data)"),
    "feature_views": dict(type=_number(int, 0, 1000), default=0,
                          help="augmented views for a frozen backbone; 0: plain"),
    "seed": dict(type=_number(int, 0, 2 ** 63 - 1), default=0, help="seed of everything random"),
    "amp": dict(choices=("auto", "off", "bf16", "fp16"), default="auto",
                help="autocast; auto: bf16 where fast"),
    "compile": dict(action="store_true", help="compile the network (PyTorch 2's compiler)"),
    "micro_batch_size": dict(type=_number(int, 4, MANY),
                             help="images of a batch, in all processes together, that go through "
                             "the network at once, for batches larger than memory (default: all)"),
    "lr_scaling": dict(choices=("none", "linear", "sqrt"), default="none",
                       help="how --lr, then for 256 images, grows with the batch size"),
    "workers": dict(type=_number(int, 1, 1024),
                    help="processes that decode images (default: all cores)"),
    "max_bad_images": dict(type=_number(int, 0, 10 ** 9), default=0,
                           help="unreadable images to skip before giving up"),
    "checkpoint_minutes": dict(type=_number(float, 0, MANY, open_low=True), default=10.0,
                               help="minutes between checkpoints inside an epoch"),
    "debug": dict(action="store_true", help="show the traceback of an error"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def build_parser(description, names, choices, **defaults):
    """A parser of the named rows of ARGUMENTS, each in both spellings (--batch-size, --batch_size).

    Args: choices: name -> allowed values, for rows whose values another module owns.
    """
    parser = _Parser(description=description, allow_abbrev=False,
                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name in names:
        row = dict(ARGUMENTS[name])
        if name in choices:
            row["choices"] = choices[name]
            row["required"] = name not in defaults and name != "knn_data"
        spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        parser.add_argument(*spellings, dest=name, **row)
    parser.set_defaults(**defaults)
    return parser


def open_device(name):
    """A usable torch.device; among processes of torchrun, cuda is one for each of a host.

    Raises: ValueError for one that is not there.
    """
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        there = torch.cuda.device_count()
        others = f" or one of {there} CUDA devices, from cuda:0 on" if there else ""
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not there ({reason}); use cpu{others}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # every batch has the same shape but the last
    if device.type == "cpu" and torch.cuda.is_available():
        print("a GPU is there and unused: --device cuda uses it")
    return device


def choose_amp(amp, device):
    """Resolve "auto": bf16 where the processor has instructions for it, "off" elsewhere."""
    if amp != "auto":
        return amp
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "off"
    names = "_is_amx_tile_supported", "_is_avx512_bf16_supported"
    fast = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    return "bf16" if fast else "off"


def run_name(data, optimizer, lr, batch_size, ratio=None, labels=1.0, seed=0, source=None):
    """The folder and file name of a run: equal settings give equal names, others others.

    Args: ratio, source: sample ratio and dataset of the pre-training it starts from; without a
        ratio there is none of ours, without a source it is the usual one.
    Raises: ValueError for a source that is no name of a dataset: it comes from a file of weights.
    """
    source = source or settings.PRETRAINING_DATA
    if not str(source).isidentifier():
        raise ValueError(f"weights pre-trained on {source!r}: no name of a dataset")
    name = f"{data}-{optimizer}-lr{lr:.15g}-bs{batch_size}"
    if ratio is not None:
        name += f"-from{source}" if source != settings.PRETRAINING_DATA else ""
        name += f"-ratio{ratio:.15g}"
    name += f"-labels{labels:.15g}" if labels != 1 else ""
    return name + (f"-seed{seed}" if seed else "")


class CsvLog:
    """One row an epoch, flushed; starts anew, or goes on after the last row of an earlier part."""

    def __init__(self, path, columns, last_row=None):
        self.path, self.columns = Path(path), columns
        kept = self._rows_before(last_row["epoch"]) + [last_row] if last_row else []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.path, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def _rows_before(self, epoch):
        """The rows of epochs 1 to epoch - 1. Raises: ValueError where the file was changed."""
        if epoch == 1:
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))[:epoch - 1]
            whole = [int(row["epoch"]) for row in rows] == list(range(1, epoch))
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole or set(rows[0]) != set(self.columns):
            raise ValueError(f"{self.path}: does not hold the epochs 1 to {epoch - 1} that "
                             "--resume goes on from; put the file back, or start anew without it")
        return rows

    def write(self, row):
        """Append a row: values by column; missing ones stay empty."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)


def refuse_contradictions(parser, args, batch_norm=True):
    """End with status 2 where flags contradict each other. Args: batch_norm: whether it is trained.

    A warm-up as long as the run would end it at its peak rate.
    """
    if args.warmup_epochs is not None and args.warmup_epochs >= args.epochs:
        parser.error(f"--warmup-epochs {args.warmup_epochs:g} is not shorter than --epochs "
                     f"{args.epochs}: the run would end before its schedule begins; use fewer")
    if batch_norm and args.batch_size == 1:
        parser.error("--batch-size 1: batch norm takes from a single image what tells it from "
                     "others, and SimCLR has no negatives; use 2 or more")


def check_batch_size(args, images, batch_norm=True):
    """Check the flags that the number of training images limits. Args: as above.

    Raises: ValueError for a batch larger than the data, or of fewer images than processes.
    """
    least, processes = 2 if batch_norm else 1, distributed.world()
    if images < least:
        raise ValueError(f"{images} training images: {least} are needed at least; use more images, "
                         "or a larger --sample-ratio or --label-ratio")
    if args.batch_size > images:
        raise ValueError(f"--batch-size {args.batch_size} is larger than the {images} training "
                         "images; use a smaller one")
    for flag, size in (("--batch-size", args.batch_size),
                       ("--micro-batch-size", args.micro_batch_size or processes)):
        if size < processes:
            raise ValueError(f"{flag} {size} is for all {processes} processes together; use a "
                             "larger one, or fewer processes")


def seed_everything(seed):
    """Seed the weights' initialisation; order and augmentation have generators of their own."""
    torch.manual_seed(seed)


MAY_DIFFER = ("resume", "epochs", "device", "workers", "debug", "data_dir", "store_dir",
              "output_dir", "pretrained_model_path", "checkpoint_minutes", "max_bad_images",
              "knn_every", "compile")


def check_resume(state, args):
    """Raises: ValueError naming the settings in which a checkpoint's run differs from this one."""
    old = state.get("config", {})
    wrong = [f"--{k.replace('_', '-')} was {old[k]} and is {v}" for k, v in vars(args).items()
             if k in old and k not in MAY_DIFFER and old[k] != v and str(old[k]) != str(v)]
    if wrong:
        raise ValueError("cannot resume with other settings: " + "; ".join(wrong))


def plain_config(args):
    """The settings as builtins, so that a checkpoint loads with weights_only=True."""
    plain = int, float, str, list, bool, type(None)
    return {k: v if isinstance(v, plain) else str(v) for k, v in vars(args).items()}
