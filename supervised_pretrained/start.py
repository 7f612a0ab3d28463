"""Where a network starts: weights of ours, ImageNet's or somebody's, read and held against what the
method says of itself."""

from pathlib import Path
from typing import NamedTuple, Optional

from conf.methods import MODEL_TYPES
from records import checkpoint
from records.results import read_config
from records.runs import identity_of
from records.stated import makers, with_facts
from records.weights import Found, check_arch, find_backbone, is_untrained
from self_supervised_pretrained.registry import PRETRAININGS
from supervised_pretrained.imagenet import imagenet_weights


class Weights(NamedTuple):
    """Where a network starts: found, a records.weights.Found or None; origin, the file's name for
    messages; image_size, px a side of the input; trained_as: its stem, mean and std of the input,
    and what else is known; usual: these four where no flag says otherwise; identity: as
    records.runs.Identity has weights; seen: the images that they were made from, as a checkpoint
    has them, None where that is not known."""

    found: Optional[Found]
    origin: object
    image_size: int
    trained_as: dict
    usual: dict
    identity: Optional[dict]
    seen: Optional[dict]


def read_weights(kind, arch, dataset, path=None, image_size=None, stem="auto", mean=None, std=None,
                 say=print):
    """Read the weights that a method starts from.

    Args:
        kind: a ModelType. dataset: a data.datasets.Dataset, whose size and statistics
            serve where the weights have none. path: a file of weights; None for untrained or
            ImageNet weights as kind says. stem: "auto" for that of the weights, 3x3 where there are
            none. image_size, mean, std: of the input, None for what the weights expect. say: called
            with a line on a file that does not say what it expects.
    Returns: Weights.
    Raises: FileNotFoundError, ValueError for weights that do not fit.
    """
    found, state, origin = None, {}, path or "the ImageNet weights"
    trained_as = {"stem": "3x3", "mean": dataset.mean, "std": dataset.std,
                  "image_size": dataset.image_size}
    if path is not None:
        state = with_facts(checkpoint.read(path), path)
        check_start(state, kind, path)
        found = find_backbone(state, path)
        trained_as = found.trained_as
    elif kind.imagenet:
        state, presets = imagenet_weights(arch)
        found = find_backbone(state, origin)
        trained_as = {**found.trained_as, **presets}
    if found:
        if stem not in ("auto", trained_as["stem"]):
            raise ValueError(f"--stem {stem}: {origin} have a {trained_as['stem']} stem")
        check_arch(found, origin, arch)
    usual = {"image_size": trained_as["image_size"] or dataset.image_size,
             "stem": trained_as["stem"], "mean": tuple(trained_as["mean"]),
             "std": tuple(trained_as["std"])}
    trained_as = {**trained_as, "stem": usual["stem"] if stem == "auto" else stem,
                  "mean": tuple(mean or usual["mean"]), "std": tuple(std or usual["std"])}
    size = image_size or usual["image_size"]
    if path is not None and not found.stated:
        say(description(found, path, trained_as, size))
    if path is not None and is_untrained(found):
        say(f"{path}: no image has ever gone through its batch norm: are these weights of an untrained network?")
    return Weights(found, origin, size, trained_as, usual, _identity(found, state, path),
                   state.get("seen"))


def _identity(found, state, path):
    """What weights are, as records.runs.Identity has them. Args: state: what their file holds."""
    if found is None:
        return None
    made_by = identity_of(state.get("identity"))
    source = "run" if made_by else "imagenet" if path is None else "file"
    return {"digest": checkpoint.tensors_digest(found.tensors), "from": source,
            "run": made_by.plain() if made_by else None}


def check_start(state, kind, path):
    """Look at weights of ours before a method starts from them; those of others say nothing.

    Raises: ValueError for half-made ones, and ones of the other kind of pre-training.
    """
    missing = checkpoint.unfinished(state, PRETRAININGS)
    if missing:
        command = read_config(Path(path).with_name("config.yml")).get("command", "its command")
        raise ValueError(f"{path}: {missing}; go on with: {command} --resume")
    _check_method(state, kind, path)


def _check_method(state, kind, origin):
    """Hold the weights of our own programs against what a method says of its own: made without
    labels, or with. Nothing is known of other files.

    Raises: ValueError where they differ: the tables would name one thing and show another.
    """
    for name in makers(state):
        if name in PRETRAININGS:
            labels = PRETRAININGS[name].labels
        elif name in MODEL_TYPES and not MODEL_TYPES[name].frozen:
            labels = True
        elif name in MODEL_TYPES and not MODEL_TYPES[name].pretraining:
            raise ValueError(f"{origin}: made by {name}, whose backbone has learned nothing; take "
                             "weights of a pre-training")
        else:  # a frozen backbone is as its pre-training left it
            continue
        if kind.pretraining and labels != PRETRAININGS[kind.pretraining].labels:
            fits = next(other for other, row in MODEL_TYPES.items() if row.frozen == kind.frozen
                        and row.pretraining and PRETRAININGS[row.pretraining].labels == labels)
            raise ValueError(f"{origin}: made by {name}, {'with' if labels else 'without'} labels; "
                             f"take --model-type {fits}, or other weights")
        return


def description(found, origin, trained_as, size):
    """What was found in a file that does not say what input it expects, in a line."""
    at = f" below {found.place}" if found.place else ""
    others = f"; left out: {', '.join(found.left_out)}" if found.left_out else ""
    mean, std = (",".join(f"{value:g}" for value in trained_as[name]) for name in ("mean", "std"))
    pool = ", padded by 1, and no max-pool" if trained_as["stem"] == "3x3" else ""
    return (f"{origin}: a {trained_as['arch']} with a {trained_as['stem']} stem{pool}{at}{others}; it "
            f"is taken to expect {size} px, mean {mean}, std {std}; --image-size, --mean and --std "
            "set them")
