"""The argument table of all programs, devices, and how a program runs and ends.

Nothing here imports PyTorch before it is needed: a command line is read without.
"""

import argparse
import contextlib
import ctypes
import os
import re
import signal
import sys
from pathlib import Path
from typing import Callable, NamedTuple

from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from conf.values import MANY, boolean, device_name, milestones, number, path, rgb, utf8_path
from records.output import ended, print_anything

MESSAGE_LENGTH = 1000  # characters; a compiler's complaint has pages


class Flag(NamedTuple):
    """programs: P pretrain.py, T train.py, E test.py, I predict.py, X export.py that take it.
    options: of argparse. result: whether it can change a number of a run, True, False or
    {flag: value} -> bool. shared: "run.sh", "grids run.sh": what hands it to pre-training."""

    programs: str
    options: dict
    result: Callable | bool
    shared: str


def by_steps(given):
    """Whether the flags (a dict) ask for steps with batches, not for a problem solved as a whole."""
    return given["optimizer"] != "lbfgs"


def _flag(programs, help, result=True, shared="", **options):
    return Flag(programs, {"help": help, **options}, result, shared)


_COUNT = number(int, 1, MANY)
_RATE = number(float, 0, 1e30, open_low=True)  # float32 ends at 3e38
_RATIO = number(float, 0, 1, open_low=True)
_SEED = number(int, 0, 2 ** 63 - 1)
_ALL = "grids run.sh"
_FROZEN = {name for name, kind in MODEL_TYPES.items() if kind.frozen}
ARGUMENTS = {
    "model_type": _flag("PTEIX", "method"),
    "data": _flag("PTEIX", "dataset"),
    "data_dir": _flag("PTEI", "folder that holds the datasets", False, shared=_ALL, type=path,
                      default=Path("data")),
    "store_dir": _flag("PTEI", "folder for the decoded images (default: store/ in --data-dir)",
                       False, shared=_ALL, type=path),
    "split": _flag("PTEI", "CSV of own images with the columns file, label and, on demand, part "
                   "(default: split.csv among the stores, drawn where it is not there)", False,
                   shared=_ALL, type=path, metavar="FILE"),
    "unlabelled": _flag("P", "folder of further images without labels, beside own ones", False,
                        type=path, metavar="DIR"),
    "output_dir": _flag("PTEIX", "folder for checkpoint/, runs/ and res/", False, shared=_ALL,
                        type=utf8_path, default=Path(".")),
    "device": _flag("PTEI", "cpu, cuda or cuda:N", False, shared=_ALL, type=device_name, default="cpu"),
    "lr": _flag("PT", "peak learning rate", by_steps, type=_RATE, default=0.1),
    "optimizer": _flag("PT", "optimizer; lbfgs solves a linear classifier to its end, penalty after "
                       "penalty", choices=("sgd", "adam", "lars", "lbfgs"), default="sgd"),
    "criterion": _flag("T", "loss", choices=("CrossEntropyLoss", "MultiMarginLoss"),
                       default="CrossEntropyLoss"),
    "batch_size": _flag("PTEI", "images in a batch", by_steps, type=_COUNT, default=128),
    "epochs": _flag("PT", "passes over the training images; of lbfgs: penalties", shared="run.sh",
                    type=_COUNT, default=200),
    "warmup_epochs": _flag("PT", "epochs of linear warm-up (default: a tenth, at most 10)", by_steps,
                           type=number(float, 0, MANY)),
    "scheduler": _flag("PT", "after the warm-up", by_steps,
                       choices=("cosine", "linear", "milestones", "constant"), default="cosine"),
    "milestones": _flag("PT", "comma-separated fractions of the run, ascending",
                        lambda given: given["scheduler"] == "milestones" and by_steps(given),
                        type=milestones, default=[0.3, 0.6, 0.8]),
    "weight_decay": _flag("PT", "not on biases and batch-norm", by_steps,
                          type=number(float, 0, MANY), default=5e-4),
    "lr_scaling": _flag("PT", "how --lr, then for 256 images, grows with the batch size",
                        choices=("none", "linear", "sqrt"), default="none"),
    "label_smoothing": _flag("T", "of CrossEntropyLoss in training",
                             type=number(float, 0, 1, open_high=True), default=0.0),
    "class_weights": _flag("T", "weights of the classes in the training loss; balanced: images / "
                           "(classes * images of the class)",
                           lambda given: given["class_weights"] != "none",
                           choices=("none", "balanced"), default="none"),
    "arch": _flag("PT", "network", shared=_ALL, choices=("resnet18", "resnet34", "resnet50"),
                  default="resnet18"),
    "stem": _flag("PT", "first layers; auto: those of the weights; without any 3x3, but 7x7 to "
                  "pre-train at more than 32 px", choices=("auto", "7x7", "3x3"), default="auto"),
    "image_size": _flag("PT", "px a side of the network's input (default: the method's)",
                        type=number(int, *settings.IMAGE_SIZES)),
    "start_size": _flag("PT", "px a side to begin with, growing to the network's input in equal "
                        "parts of the run (default: its input from the beginning)",
                        lambda given: given["model_type"] not in _FROZEN,
                        type=number(int, *settings.IMAGE_SIZES)),
    "store_size": _flag("P", "px a side of the stored images that crops are cut from (default: the "
                        "network's input)", type=number(int, *settings.IMAGE_SIZES)),
    "pretrained_model_path": _flag("PT", "weights to start from (default: train.py: the newest "
                                   "matching checkpoint, or the ImageNet weights; pretrain.py: "
                                   "none, and `imagenet` means those)", False, type=path),
    "mean": _flag("PT", "of the network's input, pixels in [0, 1] (default: the weights' or the "
                  "dataset's)", type=rgb(-settings.MOST_INPUT), metavar="R,G,B"),
    "std": _flag("PT", "its standard deviation", type=rgb(settings.LEAST_STD), metavar="R,G,B"),
    "sample_ratio": _flag("P", "share of the images, class by class (default: 0.1 of imagenet, of "
                          "others all)", type=_RATIO, default=1.0),
    "out_dim": _flag("P", "outputs of the projection head", type=number(int, 1, 2 ** 16),
                     default=128),
    "temperature": _flag("P", "of NT-Xent", type=number(float, 0.001, 1000), default=0.5),
    "crop_scale": _flag("P", "smallest share of the image that a crop covers",
                        type=number(float, 0.0001, 1), default=0.08),
    "color_strength": _flag("P", "of colour jitter: times 0.8 for brightness, contrast and "
                            "saturation, 0.2 for hue", lambda given: given["color_strength"] != 1,
                            type=number(float, 0, 1.25), default=1.0),
    "knn_every": _flag("P", "epochs between kNN evaluations, 0 for none",
                       type=number(int, 0, MANY), default=5),
    "knn_data": _flag("P", "labelled dataset for the kNN accuracy (default: --data)",
                      lambda given: given["knn_every"] > 0),
    "label_ratio": _flag("T", "share of the labelled images to train on", type=_RATIO, default=1.0),
    "val_ratio": _flag("PT", "share of the training set held out to choose on; to pre-training it "
                       "is what later trainings shall hold out; a split of own images brings its "
                       "own (default: 0.1; pretrain.py on imagenet: none)", type=number(float, 0, 0.9), default=0.1),
    "val_seed": _flag("PT", "seed of what is held out",
                      lambda given: bool(given["val_ratio"]), type=_SEED, default=0),
    "eval_every": _flag("T", "epochs between evaluations, counted back from the last (default: so "
                        "many that they take a tenth of the time at most)", by_steps, type=_COUNT),
    "feature_views": _flag("T", "augmented views for a frozen backbone; 0: plain",
                           lambda given: given["model_type"] in _FROZEN,
                           type=number(int, 0, 1000), default=0),
    "feature_scaling": _flag("T", "of a frozen backbone's features; standard: mean 0 and deviation "
                             "1 in each dimension", lambda given: given["model_type"] in _FROZEN,
                             choices=("standard", "none"), default="standard"),
    "max_duplicates": _flag("T", "exact copies of pre-training or training images among those to "
                            "choose or test on before giving up (default: no limit, none where "
                            "the parts are those of one dataset)", False,
                            type=number(int, 0, 10 ** 9)),
    "checkpoint": _flag("EIX", "checkpoint (default: the model type's newest)", type=path),
    "csv_dir": _flag("E", "write accuracy by class, confusion matrix and all predictions into CSV "
                     "files in this folder", False, type=path),
    "seed": _flag("PT", "seed of everything random but what is held out", shared="run.sh",
                  type=_SEED, default=0),
    "amp": _flag("PTEI", "autocast; auto: bf16 where fast", shared=_ALL,
                 choices=("auto", "off", "bf16", "fp16"), default="auto"),
    "compile": _flag("PT", "compile the network (PyTorch 2's compiler)", by_steps,
                     action="store_true"),
    "micro_batch_size": _flag("PT", "images of a batch, in all processes together, that go through "
                              "the network at once, for batches larger than memory (default: all)",
                              lambda given: given["model_type"] not in _FROZEN, type=number(int, 4, MANY)),
    "workers": _flag("PTEI", "processes that decode images (default: all cores)", False, shared=_ALL,
                     type=number(int, 1, 1024)),
    "max_bad_images": _flag("PTEI", "unreadable images to skip before giving up", False, shared=_ALL,
                            type=number(int, 0, 10 ** 9), default=0),
    "checkpoint_minutes": _flag("PT", "minutes between checkpoints inside an epoch", False,
                                shared=_ALL, type=number(float, 0, MANY, open_low=True),
                                default=10.0),
    "resume": _flag("PT", "go on from the run's last checkpoint", False, type=boolean, nargs="?",
                    const=True, default=False),
    "overwrite": _flag("PT", "make a run anew that is there already", False, action="store_true"),
    "debug": _flag("PTEIX", "show the traceback of an error", False, action="store_true"),
}


def flags(wanted):
    """Names of the flags for which wanted(Flag) is true, in the order of the table."""
    return [name for name, flag in ARGUMENTS.items() if wanted(flag)]


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action):
        says = action.default is None or "(default" in action.help
        return action.help if says else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def build_parser(description, program, choices, **defaults):
    """A parser of a program's flags, each in both spellings (--batch-size, --batch_size).

    Args: program: its letter in Flag.programs. choices: name -> allowed values, for flags whose
        values another module owns.
    """
    parser = _Parser(description=description, allow_abbrev=False, formatter_class=_Formatter)
    parser._negative_number_matcher = re.compile(r"-[.\d]")  # --mean -0.1,0,0 is a value, too
    for name in flags(lambda flag: program in flag.programs):
        options = dict(ARGUMENTS[name].options)
        if name in choices:
            options["choices"] = choices[name]
            options["required"] = name not in defaults and name != "knn_data"
        spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        parser.add_argument(*spellings, dest=name, **options)
    parser.set_defaults(**defaults)
    return parser


def check_split(parser, args):
    """End with status 2 where a CSV is to split another dataset than own images."""
    if args.split and args.data not in ("folder", None):
        parser.error(f"--split is for own images, --data folder; {args.data} brings its parts")


def open_device(name):
    """A usable torch.device; among processes of torchrun, cuda is one for each of a host.

    Raises: ValueError for one that is not there.
    """
    import torch
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        there, reason = torch.cuda.device_count(), str(error).splitlines()[0]
        others = f" or one of {there} CUDA devices, from cuda:0 on" if there else ""
        raise ValueError(f"--device {name} is not there ({reason}); use cpu{others}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # every batch has the same shape but the last
    elif torch.cuda.is_available():
        print("a GPU is there and unused: --device cuda uses it")
    return device


def choose_amp(amp, device):
    """Resolve "auto": bf16 where the processor or GPU has instructions for it, "off" elsewhere."""
    if amp != "auto":
        return amp
    import torch
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "off"
    names = "_is_amx_tile_supported", "_is_avx512_bf16_supported"
    return "bf16" if any(getattr(torch.cpu, name, lambda: False)() for name in names) else "off"


class Interrupted(Exception):
    """A signal ended a run after a checkpoint. Args: message, signal number."""


def keep_freed_memory():
    """Have glibc keep freed memory for the next step: the system would have to clear each page
    anew, a tenth of a training step on a CPU. Nothing elsewhere."""
    mmap_max, trim_threshold = -4, -1  # names of mallopt(3)
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)


def run(main, argv=None):
    """Run a program's main; any failure becomes one line and status 1, or the error's own `status`
    (--debug: a traceback)."""
    keep_freed_memory()
    print_anything()
    debug, together, status = "--debug" in (sys.argv[1:] if argv is None else argv), None, 0
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:  # torchrun's
        from parallel import distributed as together
    try:
        main(argv)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return ended(128 + signal.SIGINT)
    except Interrupted as stop:
        if not (together and together.rank()):
            print(stop.args[0], file=sys.stderr)
        status = 128 + stop.args[1]
    except Exception as error:  # the boundary between program and user
        if debug:
            raise
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        message = f"{kind}{' '.join(map(str.strip, str(error).splitlines()))}"
        if len(message) > MESSAGE_LENGTH:
            message = f"{message[:MESSAGE_LENGTH]} ... (--debug)"
        message = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in message)
        if together:
            message = together.told(message, error)
        print(f"error: {message}", file=sys.stderr, flush=True)
        return ended(getattr(error, "status", 1))
    if together:
        together.leave()
    return ended(status)
