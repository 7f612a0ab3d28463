"""What a run of a command line is made from, whether it has begun or not: programs ask it, grids
before them. PyTorch is imported where weights are read."""

from typing import NamedTuple, Optional

from conf.methods import ModelType
from data.datasets import DATASETS
from records.runs import Identity, readable_name, run_name
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import effective, evaluated_every, pretraining_size, usual_settings
from training.images import open_labelled, open_pretraining, pretraining_digests

IMAGENET = "imagenet"  # instead of a path to weights
SMALL = 32  # px a side: up to here the 7x7 stem would leave no more than 8


class Start(NamedTuple):
    """Where a training or pre-training starts. usual: dict of image_size (px a side), stem, mean and std (of RGB)
    of the input where no flag says otherwise; weights: as of records.runs.Identity."""

    usual: dict
    weights: Optional[dict]

    def seen(self, args):
        """The input after the flags that set it."""
        flags = {name: getattr(args, name) for name in ("image_size", "mean", "std")}
        return {**self.usual, **{name: value for name, value in flags.items() if value is not None},
                **({"stem": args.stem} if args.stem != "auto" else {})}


def start_of(kind, data, arch, path, weights=None):
    """The Start of a training. Args: weights: supervised_pretrained.start.Weights, None to read
    them.

    Raises: FileNotFoundError, ValueError for weights that are missing or do not fit.
    """
    if weights is None:
        from supervised_pretrained.start import read_weights
        weights = read_weights(kind, arch, DATASETS[data], path, say=lambda line: None)
    return Start(weights.usual, weights.identity)


def pretraining_start(args, weights=None):
    """The Start of a pre-training. Args: weights: as for `start_of`.

    Raises: as `start_of`.
    """
    weights = weights or weights_behind(args, say=lambda line: None)
    usual = _pretraining_usual(args)
    if weights is None:
        return Start(usual, None)
    return Start({**weights.usual, "image_size": usual["image_size"]}, weights.identity)


def weights_behind(args, say=print):
    """Read the weights that a pre-training goes on from, made in whatever way.

    Returns: supervised_pretrained.start.Weights; None where it starts from none.
    Raises: as supervised_pretrained.start.read_weights.
    """
    path = args.pretrained_model_path
    if path is None:
        return None
    from supervised_pretrained.start import read_weights
    imagenet = str(path) == IMAGENET
    return read_weights(ModelType(False, None, imagenet=imagenet), args.arch, DATASETS[args.data],
                        None if imagenet else path, pretraining_size(args), args.stem, args.mean,
                        args.std, say)


def _pretraining_usual(args):
    """What a network sees that starts from nothing."""
    dataset = DATASETS[args.data]
    return {"image_size": dataset.image_size,
            "stem": "3x3" if pretraining_size(args) <= SMALL else "7x7",
            "mean": tuple(dataset.mean), "std": tuple(dataset.std)}


def start_from(args, start, identity, digest):
    """The Start from a pre-training of ours whose weights need not be there.

    Args: args: of the pre-training. start: its own Start. identity: its Identity. digest: of its
        backbone's tensors. Each of the last two is None where it is not known yet.
    """
    seen = start.seen(args)
    identity = identity or Identity(effective(args, seen), {}, start.weights)
    return Start(seen, {"digest": digest, "from": "run", "run": identity.plain()})


def of_pretraining(args, start, split=None):
    """The Identity of a pre-training. Args: start: Start. split: its images, None to open them.

    Raises: as training.images.open_pretraining.
    """
    split = split or open_pretraining(args)
    return Identity(effective(args, start.seen(args)), pretraining_digests(split), start.weights)


def of_training(args, start, labelled=None):
    """The Identity of a training. Args: start: Start. labelled: its images, None to open them.

    Raises: as training.images.open_labelled.
    """
    seen = start.seen(args)
    labelled = labelled or open_labelled(args, seen["image_size"])
    every, usual = evaluated_every(args, seen["image_size"], *labelled.counts)
    seen["eval_every"] = None if every == usual else every
    return Identity(effective(args, seen), labelled.digests, start.weights)


def name_of(args, identity, usual):
    """The name of a run. Args: usual: what its network sees where no flag says otherwise."""
    return run_name(identity, usual_settings(args, usual))


def readable(args, start=None):
    """As `name_of`, of a run whose images or weights are not there yet: without its digest.

    Args: start: Start, None where it is not known.
    """
    if start is None and args.model_type in PRETRAININGS:
        start = Start(_pretraining_usual(args), None)
    elif start is None:
        dataset = DATASETS[args.data]
        start = Start({"image_size": dataset.image_size, "stem": args.stem, "mean": dataset.mean,
                       "std": dataset.std}, None)
    made_from = Identity(effective(args, start.seen(args)), {}, start.weights)
    return readable_name(made_from, usual_settings(args, start.usual))
