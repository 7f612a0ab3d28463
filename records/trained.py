"""Checkpoints of finished trainings: the one to apply, who made it, and its network."""

import math
import os
from functools import cache
from pathlib import Path

from conf.methods import MODEL_TYPES
from records import checkpoint
from records.setting import table
from supervised.resnet import resnet


def find_trained(folder, data, data_dir=None):
    """The checkpoint of the newest finished run on a dataset, if there are some of one on the images
    of a data folder: of the epoch that validation chose, of the last where nothing was held out.
    Raises: FileNotFoundError, also where the chosen one is lost."""
    say = cache(print)  # each line once

    def on_data(state):
        return table(state, "config").get("data") == data

    def made_there(state):
        return on_data(state) and _is(data_dir, table(state, "config").get("data_dir"))

    last = checkpoint.newest(folder, made_there, say) if data_dir else None
    last = last or checkpoint.newest(folder, on_data, say)
    if last is None:
        program = "train.py" if folder.name in MODEL_TYPES else "pretrain.py"
        raise FileNotFoundError(f"no checkpoint of a finished run on {data} below {folder}; make "
                                f"one with `python {program} --model-type {folder.name} --data "
                                f"{data}` or name one with --checkpoint")
    return _chosen(last)


def find_tested(folder, data, digest):
    """As `find_trained`, of the runs that were tested on the images with this digest; None where there
    is none."""
    last = checkpoint.newest(folder, lambda state: (
        table(state, "config").get("data") == data and digest_of(state, "test") == digest),
        say=lambda line: None)
    return last and _chosen(last)


def digest_of(state, part):
    """The digest of a part of the images of a run (see training.images.Labelled), None where its
    checkpoint does not say it."""
    return table(table(state, "identity"), "data").get(part)


def are_others(state, part, digest):
    """Whether images are known to be others than those of a run."""
    return digest_of(state, part) not in (None, digest)


def _chosen(last):
    best = last.with_name(checkpoint.BEST)
    if best.is_file():
        return best
    score = checkpoint.read(last).get("best")
    if isinstance(score, float) and math.isfinite(score):
        raise FileNotFoundError(f"{best}: is gone, the epoch that validation chose; name {last} with "
                                "--checkpoint to take the last one")
    return last


def check_made_by(state, path, model_type=None):
    """Raises: ValueError for a file that train.py did not write for this method, None for any."""
    needed = {"trained_as", "classes", "config", "model", "epoch"}
    whole_one = needed <= state.keys() and isinstance(state["config"], dict)
    config = state.get("config")
    maker = config.get("model_type") if isinstance(config, dict) else None
    if maker not in MODEL_TYPES or not whole_one:
        kind = f" but of {maker}" if maker and maker not in MODEL_TYPES else ""
        raise ValueError(f"{path}: not a checkpoint of train.py{kind}; name one of those below "
                         f"checkpoint/{model_type or '<model type>'}")
    if model_type not in (None, maker):
        raise ValueError(f"{path}: a checkpoint of {maker}; test it with --model-type {maker}")


def store_options(args, config):
    """Where the parts of own images, and the stores, are looked for: the CSV and folder asked for or,
    for the data folder of the run, the run's own; None for the program's.

    Args: config: flags of the run. Returns: dict of store_dir and given, as for
    data.datasets.load_split.
    """
    found = {"store_dir": args.store_dir, "given": args.split}
    own = {"store_dir": config.get("store_dir"), "given": config.get("split")}
    if own["store_dir"] and not os.path.isdir(own["store_dir"]):
        own["store_dir"] = None  # it may be deleted
    if args.data in (None, config.get("data")) and (
            args.data_dir is None or _is(args.data_dir, config.get("data_dir"))):
        found = {name: path or own[name] and Path(own[name]) for name, path in found.items()}
    return found


def _is(folder, known):
    """Whether a folder is the one that a run knows under some name."""
    return isinstance(known, str) and os.path.realpath(folder) == os.path.realpath(known)


def network_of(state):
    """The network of a checkpoint of train.py, on the CPU. Raises: RuntimeError where the tensors
    are not those of its architecture."""
    model = resnet(state["config"]["arch"], len(state["classes"]), state["trained_as"]["stem"])
    model.load_state_dict(state["model"])
    return model
