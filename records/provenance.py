"""What made a result: settings, versions, commit, machine, and the command that makes it again."""

import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from parallel import distributed
from records.files import whole
from records.setting import parts_of, resumed

ROOT = Path(__file__).resolve().parents[1]
GIT_PLACES = "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"  # set in hooks, of another repository


def write_config(paths, name, identity, duplicates, args, device, precision, known=None):
    """Write what a run is made from and what made it as YAML, the same into each of the paths.

    Args: identity: records.runs.Identity. duplicates: as from training.copies.count_duplicates. args:
        argparse.Namespace. device: torch.device. precision: what --amp came to there. known: what such
        a file says of a run that goes on. It stays; what is no longer so of commit, machine and the
        like is added to its list `resumed`. Raises: OSError.
    """
    made_by = {
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "commit": _commit(), "machine": machine(device), "threads": torch.get_num_threads(),
        "precision": precision, "processes": distributed.world(), "command": command()}
    if known and "settings" in known:
        parts = parts_of(known)
        changed = {key: value for key, value in made_by.items() if parts[-1].get(key) != value}
        more = {"resumed": [*resumed(known), changed]} if changed else {}
        return write_facts(paths, {**known, **more})
    flags = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    write_facts(paths, {"name": name, **identity.plain(), "duplicates": duplicates, "flags": flags,
                        **made_by})


def write_facts(paths, facts):
    """Write a dict as YAML, the same into each of the paths. Raises: OSError."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, encoding="utf-8") as file:
            yaml.safe_dump(facts, file, sort_keys=False)


def command():
    """The command line of this run without --resume and --overwrite, for a shell."""
    start = ["python"]
    if distributed.world() > 1:
        hosts, processes = (os.environ.get(name, "1")
                            for name in ("GROUP_WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        start = ["torchrun", *([f"--nnodes={hosts}"] if hosts != "1" else []),
                 f"--nproc-per-node={processes}"]
    words, more = sys.argv[:1], iter(sys.argv[1:])
    for word in more:
        if word == "--resume":
            word = next(more, "")
            if word.lower() in ("", "true", "false"):
                continue
        if not word.startswith("--resume=") and word != "--overwrite":
            words.append(word)
    return shlex.join([*start, *words])


def machine(device):
    """The GPU, or the processor and its cores, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        facts = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        found = re.search(r"^model name\s*:\s*(.+)$", facts, re.M)
    except OSError:
        found = None
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _commit():
    """The commit of the code, with a plus where files were changed since; None outside git or
    without it."""
    # Code that was unpacked inside somebody's own repository is not of that one's commit.
    environment = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    environment["GIT_CEILING_DIRECTORIES"] = str(ROOT.parent)
    try:
        asked = subprocess.run(
            # of code that another user owns, too, as in a container: it is being run anyway
            ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"],
            capture_output=True, encoding="utf-8", errors="replace", check=False, cwd=ROOT,
            env=environment)
    except OSError:
        return None
    return asked.stdout.strip() or None
