"""Checkpoint files: written whole or not at all, found by age, and read from four origins."""

import os
from pathlib import Path

import torch

from conf import global_settings as settings

VERSION = 1
_HEADS = ("fc.", "last_linear.")


def save(path, state):
    """Write a checkpoint so that a reader finds the old file or the new one, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save({"version": VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read(path):
    """Read a checkpoint's dict onto the CPU, executing nothing in it.

    Raises: FileNotFoundError, or ValueError for a file that is no checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: truncated or not a PyTorch checkpoint of plain tensors ({reason})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a checkpoint: it holds a {type(state).__name__} instead of a dict")
    if state.get("version", VERSION) != VERSION:
        raise ValueError(f"{path}: checkpoint version {state['version']}, this program reads {VERSION}")
    return state


def newest(folder):
    """The most recently written last.pth below a folder, None if there is none."""
    found = Path(folder).glob("*/last.pth")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)), default=None)


def backbone_weights(path):
    """Read a backbone from our checkpoints, the original SimCLR code's, torchvision's or pretrainedmodels'.

    Returns: (state dict without the head, how it was trained: stem, mean, std, image_size (None if unknown),
        sample_ratio and arch where the file says).
    Raises: FileNotFoundError, ValueError if it holds no ResNet.
    """
    state = read(path)
    tensors = next((state[k] for k in ("model", "state_dict") if isinstance(state.get(k), dict)), state)
    tensors = {k.removeprefix("module."): v for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    simclr = bool(tensors) and all(k.startswith("backbone.") for k in tensors)
    if simclr:
        tensors = {k.removeprefix("backbone."): v for k, v in tensors.items()}
    if "conv1.weight" not in tensors:
        raise ValueError(f"{path}: holds no ResNet (no conv1.weight among {len(tensors)} tensors)")
    stem = "3x3" if tensors["conv1.weight"].shape[-1] == 3 else "7x7"
    if "trained_as" in state:
        trained_as = dict(state["trained_as"])
    elif simclr:  # the original SimCLR code feeds pixels in [0, 1] as they are
        trained_as = {"stem": stem, "mean": (0.0,) * 3, "std": (1.0,) * 3, "image_size": None}
    else:
        trained_as = {"stem": stem, "mean": settings.IMAGENET_MEAN, "std": settings.IMAGENET_STD,
                      "image_size": settings.IMAGENET_WEIGHTS_SIZE}
    return without_head(tensors), trained_as


def without_head(tensors):
    """The state dict of a ResNet less its classifier or projection head."""
    return {k: v for k, v in tensors.items() if not k.startswith(_HEADS)}


def load_backbone(model, tensors, origin):
    """Copy a backbone into a model. Only the model's own `fc` may be missing, and nothing may be left over.

    Raises: ValueError listing keys that do not fit.
    """
    own = without_head(model.state_dict())
    wrong = [f"missing {k}" for k in own if k not in tensors]
    wrong += [f"unexpected {k}" for k in tensors if k not in own]
    wrong += [f"{k} is {tuple(v.shape)} instead of {tuple(own[k].shape)}" for k, v in tensors.items()
              if k in own and v.shape != own[k].shape]
    if wrong:
        raise ValueError(f"{origin}: of another architecture (see --arch): {len(wrong)} keys do not fit: "
                         + ", ".join(wrong[:8]) + (" ..." if len(wrong) > 8 else ""))
    model.load_state_dict(tensors, strict=False)
