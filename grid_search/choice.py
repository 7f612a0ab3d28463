"""What the environment's variables leave of a grid, and how many of its cells run at once, where."""

import os

from conf.methods import MODEL_TYPES
from data.packing import cores
from grid_search.cells import shown

MOST_JOBS = 8  # unless JOBS asks for more
# What features depend on beside a source's weights. Of augmented views the seed, too: cells that
# extract theirs side by side lose time, no more.
FEATURES = ("data", "pretrained_model_path", "image_size", "stem", "mean", "std", "feature_views",
            "amp")
# What linear classifiers on the same features, in batches of the same images, may differ in.
THEIR_OWN = ("optimizer", "lr", "lr_scaling", "weight_decay", "warmup_epochs", "scheduler", "milestones")
MOST_TOGETHER = 32  # cells: each holds its network


def _number(name, low, high):
    """An environment variable as a whole number, None where it is unset or empty."""
    text = os.environ.get(name)
    if text and not (text.isdecimal() and low <= int(text) <= high):
        raise ValueError(f"{name}={text}: must be a whole number from {low} to {high}")
    return int(text) if text else None


def choose(cells):
    """What ONLY and CELL leave of a grid. Returns: (pre-trainings, cells).

    A pre-training that has results and no weights is left out where all its cells have theirs.
    """
    only = os.environ.get("ONLY", "")
    if only not in ("", "pretrain", "cells"):
        raise ValueError(f"ONLY={only}: must be pretrain or cells")
    sources = list(dict.fromkeys(cell.source for cell in cells if cell.source))
    if only == "pretrain" and not sources:
        raise ValueError("ONLY=pretrain: this grid has no pre-training")
    chosen = sources if only == "pretrain" else cells
    number = _number("CELL", 1, len(chosen))
    if number:
        chosen = [chosen[number - 1]]
    if only == "pretrain":
        return chosen, []
    if only:
        return [], chosen
    used = {cell.source for cell in chosen}
    waited_for = {cell.source for cell in chosen if _state(cell) not in ("finished", "diverged")}
    spent = {source for source in used - waited_for - {None}
             if _state(source) == "new" and source.has_results()}
    return [source for source in sources if source in used - spent], chosen


def _state(cell):
    """Its state; None where that is an error, which is said when its turn comes."""
    try:
        return cell.state()
    except ValueError:
        return None


def print_commands(cells):
    """Print a command a line for what is left to do. Raises: ValueError after the last, for cells
    that cannot run."""
    wrong = []
    for cell in cells:
        try:
            state = cell.state()
        except ValueError as error:
            wrong.append(f"{cell.name}: {error}")
        else:
            if state in ("new", "cut off"):
                print(shown(cell.command(state)))
    if wrong:
        raise ValueError("; ".join(wrong))


def slots(sources, cells):
    """How many cells run side by side, on what, and which of them alone. Returns: (jobs, devices,
    alone).

    Linear classifiers on a CPU have steps too small for several cores: they run side by side unless
    JOBS or DEVICES say otherwise, once the first one on each backbone has extracted its features.
    """
    devices, jobs = os.environ.get("DEVICES", "").split(), _number("JOBS", 1, 1024)
    small = cells and all(MODEL_TYPES[cell.args.model_type].frozen and cell.args.device.startswith("cpu")
                          and cell.args.optimizer != "lbfgs" for cell in cells)
    if jobs or devices or not small:
        return jobs or len(devices) or 1, devices, []
    first = {}
    for cell in cells:
        if _state(cell) not in ("finished", "diverged"):
            facts = (getattr(cell.args, name) for name in FEATURES)
            first.setdefault((cell.source, *facts), cell)
    return min(cores(), MOST_JOBS), devices, [*sources, *first.values()]


def side_by_side(cells, jobs, alone):
    """Cells in tuples, each of which one process trains as one wide layer: linear classifiers that
    see the same batches, in so many parts that there is one for each job. All others are by
    themselves.

    Args: alone: cells that get the machine for themselves. Returns: list, in the order of their
        first cells.
    """
    alike, alone = {}, set(map(id, alone))
    for cell in cells:
        args = cell.args
        wide = (not cell.pretraining and MODEL_TYPES[args.model_type].frozen
                and args.optimizer != "lbfgs" and not args.compile and id(cell) not in alone)
        shared = {name: value for name, value in vars(args).items() if name not in THEIR_OWN}
        alike.setdefault((id(cell.source), repr(shared)) if wide else id(cell), []).append(cell)

    beside = sum(id(group[0]) not in alone for group in alike.values())
    share, tuples = -(-jobs // max(1, beside)), []
    for group in alike.values():
        parts = max(min(share, len(group)), -(-len(group) // MOST_TOGETHER))
        tuples += [tuple(group[k::parts]) for k in range(parts)]
    return tuples
