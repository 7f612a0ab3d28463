"""The settings of pretrain.py and train.py, read without PyTorch: grids read them cell by cell."""

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from data.datasets import DATASETS
from self_supervised_pretrained.registry import PRETRAININGS


def parse_pretrain(argv):
    """The settings of pretrain.py."""
    names = tuple(DATASETS)
    parser = utils.build_parser(
        "Pre-train a ResNet without labels (SimCLR, VICReg) or with labels on the same images.",
        "P", {"model_type": tuple(PRETRAININGS), "data": names, "knn_data": names},
        model_type="SelfSupervisedPretraining", data=settings.PRETRAINING_DATA, lr=1e-4,
        optimizer="adam", sample_ratio=0.1, weight_decay=1e-4)
    args = parser.parse_args(argv)
    _refuse_contradictions(parser, args, batch_norm=True)
    size = args.image_size or DATASETS[args.data].image_size
    if args.store_size and args.store_size < size:
        parser.error(f"--store-size {args.store_size} is less than the {size} px that the network "
                     "sees; use as much or more")
    return args


def parse_train(argv):
    """The settings of train.py."""
    parser = utils.build_parser(
        "Train one of the five methods on a labelled dataset.", "T",
        {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}, data="cifar100")
    args = parser.parse_args(argv)
    _refuse_contradictions(parser, args, trains_batch_norm(args))
    if args.pretrained_model_path and not MODEL_TYPES[args.model_type].pretraining:
        able = ", ".join(name for name, kind in MODEL_TYPES.items() if kind.pretraining)
        parser.error(f"--pretrained-model-path: {args.model_type} starts from no weights; these "
                     f"methods do: {able}")
    if args.label_smoothing and args.criterion != "CrossEntropyLoss":
        parser.error(f"--label-smoothing is for CrossEntropyLoss, not {args.criterion}")
    return args


def trains_batch_norm(args):
    """Whether the method trains more than a linear classifier, whose loss is a mean over images
    that know nothing of each other: a batch of one image is as good as any there."""
    return not MODEL_TYPES[args.model_type].frozen


def _refuse_contradictions(parser, args, batch_norm):
    """End with status 2 where flags contradict each other. Args: batch_norm: whether it is trained.

    A warm-up as long as the run would end it at its peak rate.
    """
    if args.warmup_epochs is not None and args.warmup_epochs >= args.epochs:
        parser.error(f"--warmup-epochs {args.warmup_epochs:g} is not shorter than --epochs "
                     f"{args.epochs}: the run would end before its schedule begins; use fewer")
    if batch_norm and args.batch_size == 1:
        parser.error("--batch-size 1: batch norm takes from a single image what tells it from "
                     "others, and SimCLR has no negatives; use 2 or more")


def check_batch_size(args, images, processes, batch_norm=True):
    """Check the flags that the number of training images limits.

    Args: processes: how many share a batch. batch_norm: whether it is trained.
    Raises: ValueError for a batch larger than the data, or of fewer images than processes.
    """
    least = 2 if batch_norm else 1
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
