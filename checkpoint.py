"""Checkpoint files: written whole or not at all, found by age, and read from four origins."""

import zipfile
from pathlib import Path

import torch

from conf import global_settings as settings
from files import whole

VERSION = 1
_HEADS = ("fc.", "last_linear.")


def save(path, state):
    """Write a checkpoint so that a reader finds the old file or the new one, never half of one.

    Raises: OSError where it cannot be written; what lay there before stays.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, "wb") as file:
            torch.save({"version": VERSION, **state}, file)
    except (OSError, RuntimeError) as error:  # torch.save makes a RuntimeError of a full disk
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(cause, "strerror", None) or error
        kept = f"; {path.name} is the one before" if path.exists() else ""
        raise OSError(f"cannot write {path} ({reason}); make room on its disk or choose another "
                      f"--output-dir, then go on with --resume{kept}") from error


def read(path):
    """Read a checkpoint's dict onto the CPU, executing nothing in it.

    Raises: FileNotFoundError, or ValueError for a file that is damaged or no checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        if zipfile.is_zipfile(path):  # torch.save's format; torch.load ignores its checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise ValueError(f"{damaged} does not match its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: damaged, or not a PyTorch checkpoint of plain tensors "
                         f"({reason}); take another one or make it again") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: holds a {type(state).__name__}, not the dict of a checkpoint")
    if state.get("version", VERSION) != VERSION:
        raise ValueError(f"{path}: a checkpoint of version {state['version']}; this program reads "
                         f"version {VERSION}")
    return state


def newest(folder):
    """The most recently written last.pth below a folder, None if there is none."""
    found = Path(folder).glob("*/last.pth")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)), default=None)


def backbone_weights(path):
    """Read a backbone from a checkpoint of ours, of the original SimCLR code, or with the weights
    of torchvision or pretrainedmodels.

    Returns: (state dict without the head, how it was trained: stem, mean, std, image_size (None if
        unknown), sample_ratio and arch where the file says).
    Raises: FileNotFoundError, ValueError if it holds no ResNet.
    """
    state = read(path)
    nested = [state[k] for k in ("model", "state_dict") if isinstance(state.get(k), dict)]
    tensors = {k.removeprefix("module."): v for k, v in (nested or [state])[0].items()
               if isinstance(v, torch.Tensor)}
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
    """Copy a backbone into a model. Only the model's own `fc` may be missing, nothing be left over.

    Raises: ValueError listing keys that do not fit.
    """
    own = without_head(model.state_dict())
    wrong = [f"missing {k}" for k in own if k not in tensors]
    wrong += [f"unexpected {k}" for k in tensors if k not in own]
    wrong += [f"{k} is {tuple(v.shape)} instead of {tuple(own[k].shape)}"
              for k, v in tensors.items() if k in own and v.shape != own[k].shape]
    if wrong:
        listed = ", ".join(wrong[:8]) + (" ..." if len(wrong) > 8 else "")
        raise ValueError(f"{origin}: of another architecture (see --arch): {len(wrong)} keys do "
                         f"not fit: {listed}")
    model.load_state_dict(tensors, strict=False)
