"""What a run of a command line is made from, whether it has begun or not: programs ask it, grids
before them. PyTorch is imported where weights are read."""

from typing import NamedTuple, Optional

from data.datasets import DATASETS
from records.runs import Identity, readable_name, run_name
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import effective, pretraining_input, usual_settings
from training.images import open_labelled, open_pretraining, pretraining_digests


class Start(NamedTuple):
    """Where a training starts. usual: dict of image_size (px a side), stem, mean and std (of RGB)
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


def start_from(args, identity, digest):
    """The Start from a pre-training of ours whose weights need not be there.

    Args: args: of the pre-training. identity: its Identity. digest: of its backbone's tensors, None
        where that is not known yet.
    """
    dataset = DATASETS[args.data]
    run = identity.plain() if identity else {"settings": pretraining_settings(args), "data": {},
                                             "weights": None}
    return Start({**pretraining_input(args), "mean": list(dataset.mean), "std": list(dataset.std)},
                 {"digest": digest, "from": "run", "run": run})


def pretraining_settings(args):
    """{flag: value} of all that can change a number of a pre-training."""
    return effective(args, pretraining_input(args))


def pretraining_usual(args):
    """What the network of a pre-training sees where no flag says otherwise."""
    return {**pretraining_input(args), "image_size": DATASETS[args.data].image_size}


def of_pretraining(args, split=None):
    """The Identity of a pre-training. Args: split: its images, None to open them.

    Raises: as training.images.open_pretraining.
    """
    split = split or open_pretraining(args)
    return Identity(pretraining_settings(args), pretraining_digests(split))


def of_training(args, start, labelled=None):
    """The Identity of a training. Args: start: Start. labelled: its images, None to open them.

    Raises: as training.images.open_labelled.
    """
    seen = start.seen(args)
    labelled = labelled or open_labelled(args, seen["image_size"])
    return Identity(effective(args, seen), labelled.digests, start.weights)


def name_of(args, identity, usual):
    """The name of a run. Args: usual: what its network sees where no flag says otherwise."""
    return run_name(identity, usual_settings(args, usual))


def readable(args, start=None):
    """As `name_of`, of a run whose images or weights are not there yet: without its digest.

    Args: start: of a training, None where it is not known.
    """
    if args.model_type in PRETRAININGS:
        usual, seen, weights = pretraining_usual(args), pretraining_input(args), None
    else:
        dataset = DATASETS[args.data]
        start = start or Start({"image_size": dataset.image_size, "stem": args.stem,
                                "mean": dataset.mean, "std": dataset.std}, None)
        usual, seen, weights = start.usual, start.seen(args), start.weights
    return readable_name(Identity(effective(args, seen), {}, weights), usual_settings(args, usual))
