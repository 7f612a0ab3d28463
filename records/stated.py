"""What a file of weights says of its network beside the tensors: architecture, and input."""

import argparse
import contextlib
import json
import math
import re
from pathlib import Path

import torch

from conf import global_settings as settings
from records.checkpoint import METADATA, tensors_digest
from records.names import short

# What stands between `resnet` and a number in names of networks that have a ResNet's tensors and do
# something else with them: antialiased ones, say, as timm's resnetblur50. Versions are no such thing.
_VARIANT = re.compile(r"resnet(?!v\d)[a-z]+[-_]?\d", re.IGNORECASE)
_ANTIALIASED = re.compile(r"resnet(blur|aa)\d", re.IGNORECASE)  # in names of files, which may say anything
_NAMES = "arch", "architecture", "model", "model_name", "backbone"
_OTHERS = {"teacher", "momentum", "ema", "target", "targets", "labels", "optimizer"}  # what is not of this network
_SIZES = "image_size", "img_size", "input_size"  # px a side, or (3, px, px)


def with_facts(state, path):
    """What a file holds, and as METADATA what export.py wrote beside it, where that is of these tensors."""
    try:
        facts = json.loads(Path(path).with_suffix(".json").read_text("utf-8"))
        same = (METADATA not in state and all(isinstance(value, torch.Tensor) for value in state.values())
                and facts["weights"] == tensors_digest(state))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return state
    return {**state, METADATA: {name: json.dumps(value) for name, value in facts.items()}} if same else state


def makers(state):
    """Yield what a file of ours, or one that export.py wrote of such, says that it was made by, itself first
    and then its pre-training; nothing of other files. Args: state: dict, as from with_facts."""
    parts = (("model_type", "config"), ("pretraining", "trained_as"), ("made_by", METADATA), ("pretraining", METADATA))
    for key, called in parts:
        name = state[called].get(key) if isinstance(state.get(called), dict) else None
        if isinstance(name, str):
            yield name.strip('"')


def check_said_arch(state, origin):
    """Raises: ValueError where a file names its network as a variant of ResNet, in it or by its own name,
    or as dilated, which the tensors need not show. Args: state: dict, as from checkpoint.read."""
    for called, table in _tables(state):
        names = (*_NAMES, "name") if called in _NAMES else _NAMES
        for name in map(table.get, names):
            if isinstance(name, str) and _VARIANT.search(name):
                _refuse_variant(origin, name)
        dilated = table.get("replace_stride_with_dilation")
        if isinstance(dilated, (list, tuple)) and any(dilated) or _numbers(table.get("output_stride", 32)) != [32]:
            _refuse_variant(origin, "dilated ResNet")
    path = Path(str(origin))
    for name in (path.name, path.parent.name):  # as timm's are called that say nothing inside
        if _ANTIALIASED.search(name):
            _refuse_variant(origin, name)


def _refuse_variant(origin, name):
    raise ValueError(f"{origin}: of another architecture: it says that it is a {short(name, 40)}, which makes "
                     "other features of the same tensors; take weights of a plain ResNet")


def stated_input(state, tensors, origin):
    """What a file says of its input: dict of mean, std and image_size (px a side, None for any), the
    last not where it names none; {} where it says nothing.

    The well-known SimCLR code feeds pixels in [0, 1] as they are. Only its files hold an `arch`
    beside a backbone whose fc is Linear-ReLU-Linear.
    Raises: ValueError for a file of ours that does not say it, and for one whose network takes blue first.
    """
    if "trained_as" in state:
        found = state["trained_as"]
        with contextlib.suppress(TypeError, KeyError, ValueError):
            if _says_its_input(found):
                return found
        raise ValueError(f"{origin}: its trained_as does not say what input it expects; make it "
                         "again")
    head = {"backbone.fc.0.weight", "backbone.fc.2.weight"}
    if "arch" in state and head <= set(tensors) and all(k.startswith("backbone.") for k in tensors):
        return {"mean": (0.0,) * 3, "std": (1.0,) * 3, "image_size": None}
    for _, table in _tables(state):
        found = {name: _numbers(table.get(name)) for name in ("mean", "std")}
        if max((*found["mean"], *found["std"]), default=0) > settings.MOST_INPUT:  # of pixels in 0..255
            found = {name: [value / 255 for value in values] for name, values in found.items()}
        if _says_its_input({"image_size": None, **found}):
            if all(math.isclose(*pair, abs_tol=0.01) for pair in zip(found["mean"], settings.IMAGENET_MEAN[::-1])):
                raise ValueError(f"{origin}: says ImageNet's mean with blue first, so its network takes BGR, and "
                                 "pictures here are RGB; reverse the channels of conv1.weight, mean and std in it")
            sizes = [{"image_size": int(max(_numbers(table.get(name)), default=0))} for name in _SIZES]
            return {**found, **next((size for size in sizes if _says_its_input({**found, **size})), {})}
    return {}


def _tables(state):
    """Yield (its name, dict) of a file's dicts and argparse's namespaces, those around others first;
    less those of a network that follows another one, and the like."""
    pending, seen = [("", state)], set()
    for called, found in pending:
        table = vars(found) if isinstance(found, argparse.Namespace) else found
        if isinstance(table, dict) and id(table) not in seen:  # one may hold itself
            seen.add(id(table))
            yield called, table
            pending += [(name, value) for name, value in table.items()
                        if isinstance(value, (dict, argparse.Namespace))
                        and not _OTHERS & set(re.split(r"[._]", str(name).lower()))]


def _numbers(value):
    """A number or several, an array or a text of these, as a list; [] for anything else."""
    with contextlib.suppress(ValueError, TypeError, RuntimeError):  # of sparse tensors and those without values
        if isinstance(value, str):
            value = json.loads(f"[{value.strip().strip('[]()')}]")
        value = value.tolist() if hasattr(value, "tolist") else value
        value = list(value) if isinstance(value, (list, tuple)) else [value]
        return value if all(type(number) in (int, float) and math.isfinite(number) for number in value) else []
    return []


def _says_its_input(found):
    """Whether trained_as has what a command line would take. Raises as for any dict."""
    (low, high), size, ratio = settings.IMAGE_SIZES, found["image_size"], found.get("sample_ratio")
    numbers = [*found["mean"], *found["std"]]
    return (len(found["mean"]) == len(found["std"]) == 3
            and all(type(number) in (int, float) for number in (*numbers, ratio or 1))
            and max(map(abs, numbers)) <= settings.MOST_INPUT and 0 < (ratio or 1) <= 1
            and min(found["std"]) >= settings.LEAST_STD
            and (size is None or type(size) is int and low <= size <= high))
