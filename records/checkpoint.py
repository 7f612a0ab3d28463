"""Checkpoint files: written whole or not at all, found by age, read without running anything."""

import argparse
import hashlib
import pathlib
import re
import zipfile
from pathlib import Path

import numpy as np
import torch

from records.files import whole

VERSION = 1
LAST, BEST = "last.pth", "best.pth"  # of a run: to go on from; of the epoch that validation chose
METADATA = "__metadata__"  # as in the header of a .safetensors file, whose tensors are never called so
BEGINNING, SHOWN = 512, 20  # bytes that tell what a file is; of them in a message
# Values without behaviour that others save beside their tensors: settings, paths, best accuracies.
_VALUES = [
    argparse.Namespace, np.dtype, np.ndarray,
    *(getattr(np.dtypes, name) for name in np.dtypes.__all__ if name != "ObjectDType"),
    *((np.zeros(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct")
      for core in ("core", "_core")),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar")
      for core in ("core", "_core")),
    *((getattr(pathlib, f"Pure{kind}"), f"{module}.{kind}")
      for kind in ("PosixPath", "WindowsPath") for module in ("pathlib", "pathlib._local"))]


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
    """Read a checkpoint's dict, or a .safetensors file, onto the CPU, executing nothing in it. What
    the latter says beside its tensors is a dict of texts, METADATA, among them.

    Raises: FileNotFoundError, or ValueError for a file that is damaged, no checkpoint, or needs
        code to load.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "no file"
        raise FileNotFoundError(f"no checkpoint at {path}, where {found} lies; name a file, such "
                                "as checkpoint/<model type>/<run>/last.pth")
    with open(path, "rb") as file:
        _check_beginning(path, file.read(BEGINNING))
    try:
        with open(path, "rb") as file:
            if file.read(9)[8:] == b"{":  # after the length of its header
                from safetensors import safe_open
                with safe_open(path, "pt") as opened:
                    tensors = {name: opened.get_tensor(name) for name in opened.keys()}
                    return {**tensors, METADATA: dict(opened.metadata() or {})}
        if zipfile.is_zipfile(path):  # torch.save's format; torch.load ignores its checksums
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise ValueError(f"{damaged} does not match its checksum")
        with torch.serialization.safe_globals(_VALUES):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        code = re.search(r"GLOBAL (\S+) was not an allowed|(TorchScript)", str(error))
        if code:
            raise ValueError(_needs_code(path, code[1] or code[2])) from error
        blocked = re.search(r"GLOBAL (\S+) whose module", str(error))
        if blocked:
            raise ValueError(f"{path}: to load it is to run {blocked[1]}, which no weights need; "
                             "do not trust it, take another one") from error
        reason = _reason(error)
        raise ValueError(f"{path}: damaged, or not a PyTorch checkpoint of plain tensors "
                         f"({reason}); take another one or make it again") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: holds a {type(state).__name__}, not the dict of a checkpoint")
    if "trained_as" in state and state.get("version", VERSION) != VERSION:
        raise ValueError(f"{path}: a checkpoint of version {state['version']}; this program reads "
                         f"version {VERSION}")
    return state


def _check_beginning(path, start):
    """Raises: ValueError for what is neither a zip, a pickle, an old tar nor safetensors."""
    if start[8:9] == b"{" or start.startswith((b"PK", b"\x80")) or start[257:262] == b"ustar":
        return
    hint = "download it again, the file itself"
    if start.startswith(b"version https://git-lfs"):
        hint = "it stands for a file in Git LFS: `git lfs pull` fetches that"
    begins = f"it begins with {start[:SHOWN]!r}" if start else "it is empty"
    raise ValueError(f"{path}: damaged, or neither a PyTorch checkpoint nor safetensors "
                     f"({begins}); {hint}")


def _reason(error):
    """What PyTorch found, less its advice to run whatever a file says."""
    lines = [line.strip().removeprefix("WeightsUnpickler error: ")
             for line in str(error).splitlines() if "weights_only" not in line]
    return next(filter(None, lines), type(error).__name__)


def _needs_code(path, name):
    load = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    save = ("torch.save(found.state_dict() if hasattr(found, 'state_dict') else "
            "found.get('state_dict') or found['model'], 'plain.pth')")
    if name == "TorchScript":
        load = f"torch.jit.load({str(path)!r}, map_location='cpu')"
        save = "torch.save(found.state_dict(), 'plain.pth')"
    return (f"{path}: not a PyTorch checkpoint of plain tensors: to load it is to run code "
            f"({name}); if you trust it, make it one with two lines of Python: found = {load}; "
            f"{save}")


def tensors_digest(tensors):
    """Hex digest of tensors by name: of their names, shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def newest(folder, fits=lambda state: True, say=print):
    """The last.pth of the finished run below a folder that was written last, None if there is none.

    Args: fits: whether a checkpoint's dict is one of those that are looked for. say: called with a
        line for each newer one that is unfinished.
    Raises: ValueError for a damaged one.
    """
    found = Path(folder).glob(f"*/{LAST}")
    for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, str(path)), reverse=True):
        state = read(path)
        if fits(state):
            missing = unfinished(state)
            if not missing:
                return path
            say(f"{path}: left out, {missing}")
    return None


def unfinished(state, model_types=None):
    """How far a run of ours is, in words, where epochs are missing; "" for others.

    Args: model_types: those to look at, None for all.
    """
    config = state.get("config")
    planned = config.get("epochs") if isinstance(config, dict) else None
    of_them = planned and (model_types is None or config.get("model_type") in model_types)
    if not of_them or not isinstance(state.get("epoch"), int) or state["epoch"] >= planned:
        return ""
    return f"unfinished: epoch {state['epoch']} of {planned} is its last"
