"""The place of a run on disk: held by one process, before any training begins."""

from pathlib import Path
from typing import NamedTuple, Optional

from parallel import distributed
from records import checkpoint, provenance, results
from records.files import flock, writing
from records.runs import Identity, differences, identity_of


class Place(NamedTuple):
    """identity: of the run. folder: of its checkpoints. csv: its file in res/. board: its folder
    below runs/. state: the checkpoint to go on from, or None. restarted: whether torchrun's, not
    --resume, asks for it. lock: an open file, None in all processes but the first."""

    identity: Identity
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
    def name(self):
        return self.folder.name

    @property
    def configs(self):
        """Where its settings are written."""
        return self.folder / "config.yml", self.csv.with_suffix(".yml")


def claim(args, identity, name, pretraining=False):
    """Take the place of a run as long as this process lives, and read what it goes on from.

    All processes look before the first one begins to write.

    Args: identity: of the run; name: as of records.runs.run_name.
    Returns: Place; None for a run that is finished, which is said.
    Raises: ValueError where another process works on the same run, where it is unfinished and
        neither --resume nor --overwrite asked for; FileNotFoundError where there is nothing to
        resume; OSError.
    """
    folder = args.output_dir / "checkpoint" / args.model_type / name
    csv = f"{'pretrain_' * pretraining}{args.model_type}_{name}.csv"
    place = Place(identity, folder, args.output_dir / "res" / csv,
                  args.output_dir / "runs" / args.model_type / name, None, False, None)
    if args.resume and not place.last.is_file() and not place.csv.is_file():  # before any folder
        raise FileNotFoundError(f"no checkpoint to go on from: {_nearest(folder.parent, identity)}")
    place = place._replace(lock=_lock(folder) if distributed.rank() == 0 else None)
    found = _look(args, place, pretraining)
    distributed.meet()
    return found


def _look(args, place, pretraining):
    """As `claim`, of a place that is taken."""
    folder, name, identity = place.folder, place.name, place.identity
    again = distributed.restarted() and _newer(place.last, place.configs[0])
    if args.overwrite and not again:
        return place
    state = checkpoint.read(place.last) if place.last.is_file() else None
    if state:
        wrong = differences(identity_of(state.get("identity")) or Identity({}, {}), identity)
        if wrong:
            raise ValueError(f"{folder}: holds another run: {'; '.join(wrong)}; move it away")
    rows = results.rows_or_none(place.csv, pretraining)
    done = bool(rows) and rows[-1]["epoch"] >= args.epochs and not results.diverged(rows[-1])
    if pretraining:  # "made" is written last
        done = done and "made" in results.read_config(place.configs[0])
    if done and (state and not checkpoint.unfinished(state) or not state and not pretraining):
        print(f"{name} is finished, see {place.csv}: left as it is; --overwrite makes it anew",
              flush=True)
        return None
    if args.resume or again:
        if state is None:
            raise FileNotFoundError(f"no checkpoint to go on from: {_nearest(folder.parent, identity)}")
        return place._replace(state=state, restarted=again)
    if state:
        if rows and results.diverged(rows[-1]):
            raise ValueError(f"{folder}: diverged; another --lr makes another run, --overwrite makes "
                             "this one anew")
        raise ValueError(f"{folder}: {checkpoint.unfinished(state) or 'unfinished'}; go on with: "
                         f"{provenance.command()} --resume; or begin anew with --overwrite")
    return place


def _nearest(folder, identity):
    """In words, what sets a run apart from the most similar one in a folder."""
    found = []
    for path in sorted(folder.glob("*/config.yml")):
        other = identity_of(results.read_config(path))
        if other and (path.parent / checkpoint.LAST).is_file():
            found.append((differences(other, identity), path.parent.name))
    if not found:
        return f"no run has begun in {folder}; leave out --resume"
    wrong, name = min(found, key=lambda item: len(item[0]))
    return f"no run in {folder} is this one; the nearest, {name}, is another: {'; '.join(wrong)}"


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
