"""Checkpoints of finished trainings: the one to apply, who made it, and its network."""

import math
from pathlib import Path

from conf.methods import MODEL_TYPES
from records import checkpoint
from supervised.resnet import resnet


def find_trained(folder, data):
    """The checkpoint of the newest finished run on a dataset: of the epoch that validation chose,
    of the last where nothing was held out. Raises: FileNotFoundError, also where the chosen one is
    lost."""
    last = checkpoint.newest(folder, lambda state: state.get("config", {}).get("data") == data)
    if last is None:
        program = "train.py" if folder.name in MODEL_TYPES else "pretrain.py"
        raise FileNotFoundError(f"no checkpoint of a finished run on {data} below {folder}; make "
                                f"one with `python {program} --model-type {folder.name} --data "
                                f"{data}` or name one with --checkpoint")
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


def split_of(args, config):
    """The CSV that splits own images: the one asked for or, in the data folder of the run, the run's
    own; None for the program's. Args: config: flags of the run."""
    known, folder = config.get("split"), config.get("data_dir")
    if args.split or not known or args.data not in (None, config.get("data")):
        return args.split
    return Path(known) if args.data_dir in (None, Path(str(folder))) else None


def network_of(state):
    """The network of a checkpoint of train.py, on the CPU. Raises: RuntimeError where the tensors
    are not those of its architecture."""
    model = resnet(state["config"]["arch"], len(state["classes"]), state["trained_as"]["stem"])
    model.load_state_dict(state["model"])
    return model
