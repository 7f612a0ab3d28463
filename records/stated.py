"""What a file of weights says of its network beside the tensors: architecture, and input."""

import contextlib
import re

from conf import global_settings as settings
from records.names import short

# What stands between `resnet` and a number in names of networks that have a ResNet's tensors and do
# something else with them: antialiased ones, say, as timm's resnetblur50. Versions are no such thing.
_VARIANT = re.compile(r"resnet(?!v\d)[a-z]+[-_]?\d", re.IGNORECASE)
_NAMES = "arch", "model", "model_name", "architecture"


def check_said_arch(state, origin):
    """Raises: ValueError where a file names its network as a variant of ResNet, which the tensors
    need not show. Args: state: dict, as from checkpoint.read."""
    for part in (state, state.get("args")):
        said = part if isinstance(part, dict) else getattr(part, "__dict__", {})
        for name in map(said.get, _NAMES):
            if isinstance(name, str) and _VARIANT.search(name):
                raise ValueError(f"{origin}: of another architecture: it says that it is a "
                                 f"{short(name, 40)}, which makes other features of the same "
                                 "tensors; take weights of a plain ResNet")


def stated_input(state, tensors, origin):
    """What a file says of its input, None where it says nothing.

    The well-known SimCLR code feeds pixels in [0, 1] as they are. Only its files hold an `arch`
    beside a backbone whose fc is Linear-ReLU-Linear.
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
    return None


def _says_its_input(found):
    """Whether trained_as has what a command line would take. Raises as for any dict."""
    (low, high), size, ratio = settings.IMAGE_SIZES, found["image_size"], found.get("sample_ratio")
    numbers = [*found["mean"], *found["std"]]
    return (len(found["mean"]) == len(found["std"]) == 3
            and all(type(number) in (int, float) for number in (*numbers, ratio or 1))
            and max(map(abs, numbers)) <= settings.MOST_INPUT and 0 < (ratio or 1) <= 1
            and min(found["std"]) >= settings.LEAST_STD
            and (size is None or type(size) is int and low <= size <= high))
