"""The settings of pretrain.py and train.py, read without PyTorch: grids read them cell by cell."""

from argparse import Namespace

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from conf.values import usual_warmup
from data.datasets import DATASETS
from data.layout import part_folders
from data.own import SPLIT, check_apart, is_split, stores_of
from records.names import printable
from self_supervised_pretrained.registry import PRETRAININGS

HELD_OUT = {name: utils.ARGUMENTS[name].options["default"] for name in ("val_ratio", "val_seed")}
BY_STEPS = tuple(name for name in utils.ARGUMENTS["optimizer"].options["choices"]
                 if utils.by_steps({"optimizer": name}))
PENALTIES = 11  # that lbfgs solves for: half a decade apart


def parse_pretrain(argv):
    """The settings of pretrain.py."""
    names = tuple(DATASETS)
    parser = utils.build_parser(
        "Pre-train a ResNet without labels, or with labels on the same images.",
        "P", {"model_type": tuple(PRETRAININGS), "data": names, "knn_data": names,
              "optimizer": BY_STEPS},
        model_type="SelfSupervisedPretraining", data=settings.PRETRAINING_DATA, lr=1e-4,
        optimizer="adam", sample_ratio=None, weight_decay=1e-4, **dict.fromkeys(HELD_OUT))
    args = parser.parse_args(argv)
    usual = args.data == settings.PRETRAINING_DATA  # there to be pre-trained on, and large
    if args.sample_ratio is None:
        args.sample_ratio = settings.SAMPLE_RATIO if usual else 1.0
    _hold_out(parser, args, {"val_ratio": 0.0} if usual else {})
    if args.unlabelled and (args.data != "folder" or PRETRAININGS[args.model_type].labels):
        parser.error("--unlabelled is for pre-training without labels on own images "
                     f"(--data folder); {args.model_type} on {args.data} has no use for it")
    if args.unlabelled:
        try:
            check_apart(args.data_dir, args.unlabelled)
        except ValueError as error:
            parser.error(str(error))
    _refuse_contradictions(parser, args, batch_norm=True)
    size = pretraining_size(args)
    if args.store_size and args.store_size < size:
        parser.error(f"--store-size {args.store_size} is less than the {size} px that the network "
                     "sees; use as much or more")
    return args


def parse_train(argv):
    """The settings of train.py."""
    parser = utils.build_parser(
        "Train one of the methods on a labelled dataset.", "T",
        {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}, data=settings.LABELLED_DATA,
        **dict.fromkeys(HELD_OUT))
    args = parser.parse_args(argv)
    if not utils.by_steps(vars(args)):
        parser.set_defaults(epochs=PENALTIES)
        args = parser.parse_args(argv)
        _refuse_unsolved(parser, args)
    _hold_out(parser, args, {})
    _refuse_contradictions(parser, args, trains_batch_norm(args))
    if args.pretrained_model_path and not MODEL_TYPES[args.model_type].pretraining:
        able = ", ".join(name for name, kind in MODEL_TYPES.items() if kind.pretraining)
        parser.error(f"--pretrained-model-path: {args.model_type} starts from no weights; these "
                     f"methods do: {able}")
    if args.start_size and MODEL_TYPES[args.model_type].frozen:
        parser.error(f"--start-size: {args.model_type} trains a classifier on features alone, "
                     "which are of one size")
    if args.label_smoothing and args.criterion != "CrossEntropyLoss":
        parser.error(f"--label-smoothing is for CrossEntropyLoss, not {args.criterion}")
    return args


def _hold_out(parser, args, usual):
    """Fill in how what is chosen on is held out; None where a split of own images says it. Ends
    with status 2 where flags say it, too. Args: usual: {flag: value} where not as HELD_OUT."""
    utils.check_split(parser, args)
    if args.data == "folder" and is_split(args.data_dir, stores_of(args.data_dir, args.store_dir),
                                          args.split):
        given = [f"--{name.replace('_', '-')}" for name in HELD_OUT if getattr(args, name) is not None]
        if given:
            folders = part_folders(args.data_dir) if args.split is None else {}
            where = folders.get("val") or f"the part val of {args.split or SPLIT}"
            parser.error(f"{' and '.join(given)}: the images to choose on are those of "
                         f"{printable(where)}; leave it out, or change what lies there")
        return
    for name, value in {**HELD_OUT, **usual}.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def trains_batch_norm(args):
    """Whether the method trains more than a linear classifier, whose loss is a mean over images
    that know nothing of each other: a batch of one image is as good as any there."""
    return not MODEL_TYPES[args.model_type].frozen


def trained_part(name, labels):
    """The part of a dataset to pre-train on: "train" with labels where the other has none, as that
    of STL-10."""
    part = DATASETS[name].unlabelled
    return "train" if labels and part == "unlabeled" else part


def pretraining_size(args):
    """Pixels a side that a pre-training's network sees."""
    return args.image_size or DATASETS[args.data].image_size


def check_start_size(args, seen):
    """Raises: ValueError for a --start-size that does not fit. Args: seen: dict of image_size (px a
    side) and stem of the network's input."""
    size, stem, least = seen["image_size"], seen["stem"], settings.STEM_STRIDES[seen["stem"]]
    if args.start_size and args.start_size > size:
        raise ValueError(f"--start-size {args.start_size} is more than the {size} px that the "
                         "network sees in the end; use less, or a larger --image-size")
    if args.start_size and args.start_size < min(least, size):
        raise ValueError(f"--start-size {args.start_size} leaves the last stage of a {stem} stem's "
                         f"network less than a pixel; use {min(least, size)} or more, or --stem 3x3")


def growing_sizes(start, size):
    """Px a side, one after the other for an equal number of steps each: in the middle half way,
    a multiple of 8 where there is one between, else of 4, so that no size is a slow one."""
    if start in (None, size):
        return [size]
    for step in (8, 4):
        middle = step * round((start + size) / 2 / step)
        if start < middle < size:
            return [start, middle, size]
    return [start, size]


def peak_rate(args):
    """The learning rate for a batch, from one for BASE_BATCH images where --lr-scaling asks for it:
    linear (Goyal et al. 2017, section 2.1) or sqrt (Krizhevsky 2014, section 5)."""
    factor = args.batch_size / settings.BASE_BATCH
    return args.lr * {"none": 1, "linear": factor, "sqrt": factor ** 0.5}[args.lr_scaling]


def warmup_epochs(args):
    """Epochs of linear warm-up."""
    if args.warmup_epochs is not None:
        return args.warmup_epochs
    return usual_warmup(args.epochs)


def evaluated_every(args, size, images, judged):
    """(epochs between evaluations, those where no flag says it: so many that these take a tenth of
    the time). To evaluate an image, forward and not backward, takes a third of training on one of
    its size, and training on a smaller one so much less as it has fewer pixels.

    Args: size: px a side that the network sees in the end. images: how many are trained on.
        judged: how many are evaluated.
    """
    if not utils.by_steps(vars(args)):
        return 1, 1  # each of lbfgs's penalties is to choose from
    sizes = growing_sizes(args.start_size, size)
    pixels = images * sum(side ** 2 for side in sizes) // len(sizes)
    usual = min(args.epochs, max(1, -(-3 * judged * size ** 2 // max(1, pixels))))
    return min(args.eval_every or usual, args.epochs), usual


def effective(args, seen):
    """{flag: value} of all that can change a number of a run, as it takes effect: equal where runs
    must be.

    Args: seen: flags of the network's input, which --image-size and the like set or the weights.
    """
    given = {**vars(args), **seen, "lr": peak_rate(args), "warmup_epochs": warmup_epochs(args)}
    if args.start_size == seen["image_size"]:
        given["start_size"] = None
    if args.micro_batch_size and args.micro_batch_size >= args.batch_size:
        given["micro_batch_size"] = None  # the whole batch
    kind = PRETRAININGS.get(args.model_type)
    idle = {"lr_scaling"}  # is in the rate
    if args.val_ratio is None:
        idle.add("val_ratio")  # the images held out are told by their digest
    if kind:
        given["store_size"] = args.store_size or seen["image_size"]
        given["knn_every"] = min(args.knn_every, args.epochs)  # due at the last epoch, too
        given["knn_data"] = args.knn_data or args.data
        idle |= {flag for row in PRETRAININGS.values() for flag in row.flags} - set(kind.flags)
        if trained_part(args.data, kind.labels) != "train" and args.val_ratio is not None:
            given["val_ratio"] = 0.0  # no training holds anything out of it
    return {name: given[name] for name, flag in utils.ARGUMENTS.items()
            if name in given and name not in idle
            and (flag.result(given) if callable(flag.result) else flag.result)}


def usual_settings(args, seen):
    """As `effective`, of a command line that says no more than the method and the dataset.

    Args: seen: what the network sees where no flag says otherwise.
    """
    kind = PRETRAININGS.get(args.model_type)
    words = ["--model-type", args.model_type, "--data", args.data]
    words += [f"--{name.replace('_', '-')}={getattr(args, name)}"  # what has a split holds out none
              for name in ("data_dir", "store_dir", "split") if getattr(args, name)]
    plain = vars((parse_pretrain if kind else parse_train)(words))
    given = {"epochs": args.epochs}  # for the warm-up
    if kind:
        given["store_size"] = pretraining_size(args)
    return {**effective(Namespace(**{**plain, **given}), seen), "epochs": plain["epochs"]}


def _refuse_unsolved(parser, args):
    """End with status 2 where --optimizer lbfgs has no problem to solve."""
    frozen = ", ".join(name for name, kind in MODEL_TYPES.items() if kind.frozen)
    if not MODEL_TYPES[args.model_type].frozen:
        parser.error(f"--optimizer lbfgs solves linear classifiers alone, not {args.model_type}; "
                     f"these methods have one: {frozen}")
    if args.criterion != "CrossEntropyLoss":
        parser.error(f"--optimizer lbfgs is for CrossEntropyLoss, not {args.criterion}")
    if args.val_ratio == 0:
        parser.error("--val-ratio 0: with --optimizer lbfgs validation chooses between penalties; "
                     "hold some images out")
    if args.epochs < 2:
        parser.error("--epochs 1: with --optimizer lbfgs it is the number of penalties, and "
                     "validation chooses between them; use 2 or more")


def _refuse_contradictions(parser, args, batch_norm):
    """End with status 2 where flags contradict each other. Args: batch_norm: whether it is trained.

    A warm-up as long as the run would end it at its peak rate.
    """
    if args.warmup_epochs is not None and args.warmup_epochs >= args.epochs and utils.by_steps(
            vars(args)):
        parser.error(f"--warmup-epochs {args.warmup_epochs:g} is not shorter than --epochs "
                     f"{args.epochs}: the run would end before its schedule begins; use fewer")
    if batch_norm and args.batch_size == 1:
        parser.error("--batch-size 1: batch norm takes from a single image what tells it from "
                     "others; use 2 or more")


def check_batch_size(args, images, processes, batch_norm=True):
    """Check the flags that the number of training images limits.

    Args: processes: how many share a batch. batch_norm: whether it is trained.
    Raises: ValueError for a batch larger than the data, or of fewer images than processes.
    """
    least = 2 if batch_norm else 1
    if images < least:
        raise ValueError(f"{images} training images: {least} are needed at least; use more images, "
                         "or a larger --sample-ratio or --label-ratio")
    if not utils.by_steps(vars(args)):
        return
    if args.batch_size > images:
        raise ValueError(f"--batch-size {args.batch_size} is larger than the {images} training "
                         "images; use a smaller one")
    for flag, size in (("--batch-size", args.batch_size),
                       ("--micro-batch-size", args.micro_batch_size or processes)):
        if size < processes:
            raise ValueError(f"{flag} {size} is for all {processes} processes together; use a "
                             "larger one, or fewer processes")
