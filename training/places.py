"""The place of a run on disk: held by one process, before any long work begins."""

from pathlib import Path
from typing import NamedTuple, Optional

import utils
from parallel import distributed
from records import checkpoint
from records.files import flock, writing
from records.runs import check_resume


class Place(NamedTuple):
    """folder: of its checkpoints. csv: its file in res/. board: its folder below runs/. state: the
    checkpoint to go on from, or None. restarted: whether torchrun's, not --resume, asks for it.
    lock: an open file, None in all processes but the first."""

    folder: Path
    csv: Path
    board: Path
    state: Optional[dict]
    restarted: bool
    lock: object

    @property
    def last(self):
        return self.folder / checkpoint.LAST

    @property
    def configs(self):
        """Where its settings are written."""
        return self.folder / "config.yml", self.csv.with_suffix(".yml")


def claim(args, name, csv_prefix=""):
    """Take the place of a run as long as this process lives, and read what it goes on from.

    Raises: ValueError where another process works on the same run, or --resume asks for other
        settings; FileNotFoundError where there is nothing to resume; OSError.
    """
    folder = args.output_dir / "checkpoint" / args.model_type / name
    place = Place(folder, args.output_dir / "res" / f"{csv_prefix}{args.model_type}_{name}.csv",
                  args.output_dir / "runs" / args.model_type / name, None, False,
                  _lock(folder) if distributed.rank() == 0 else None)
    again = distributed.restarted() and _newer(place.last, place.configs[0])
    if not (args.resume or again):
        return place
    state = checkpoint.read(place.last)
    check_resume(state, args, utils.flags(lambda flag: flag.resumable))
    return place._replace(state=state, restarted=again)


def _newer(path, other):
    """Whether a file is there that was written after another one."""
    return path.is_file() and other.is_file() and path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _lock(folder):
    with writing(folder, "run", "--output-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")
    if flock(file, "LOCK_EX", "LOCK_NB") is False:
        raise ValueError(f"{folder}: another process works on this run; wait for it, or choose "
                         "another --seed or --output-dir")
    return file
