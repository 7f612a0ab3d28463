"""Read the runs in res/: what they were made from, whole rows, the epoch validation chose."""

import fnmatch
import math
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from records.names import printable
from records.runs import PRETRAIN_COLUMNS, TRAIN_COLUMNS
from records.setting import Setting, drawn_images, identify, planned_epochs, read_config

SHARES = "accuracy", "f1"  # ends of the names of columns that are fractions


class RunRecord(NamedTuple):
    """One CSV: `rows` are dicts column -> number or None, by rising epoch. `planned` epochs.
    `config`: the YAML file beside it. `seed`: a text, None where it is not known; `behind`: which
    pre-training it starts from, as of records.setting.pretraining_of; `csv`: its place."""
    setting: Setting
    seed: str | None
    rows: list
    planned: int
    config: dict
    behind: tuple | None = None
    csv: Path | None = None


class Measure(NamedTuple):
    """A number over the seeds of a setting, each None where there are too few.

    mean: over pre-trainings, of their means over seeds of training. std: sample standard deviation
    over seeds of training, pooled within pre-trainings. between: that of the pre-trainings' means.
    """
    mean: float | None = None
    std: float | None = None
    between: float | None = None

    @property
    def bar(self):
        """The spread that a figure shows: over pre-trainings where there are several."""
        return self.std if self.between is None else self.between


class Result(NamedTuple):
    """All seeds of one setting. `chosen`: of each run its chosen row, or None; `test` and `val`:
    the accuracies in those that are `counted`; `status`: of the run that went worst."""
    setting: Setting
    runs: list
    chosen: list
    test: Measure
    val: Measure
    status: str

    @property
    def counted(self):
        """[(run, its chosen row)] of all that numbers are of: where some runs are done, not those that are
        unfinished."""
        found = list(zip(self.runs, self.chosen))
        states = [state_of(run) for run in self.runs]
        return [pair for pair, state in zip(found, states) if "done" not in states or state != "unfinished"]

    @property
    def seeds(self):
        """How many seeds of training, or of a pre-training itself; 1 where they make no difference."""
        if self.setting.solved:
            return 1
        found = [run.seed for run, _ in self.counted]
        return len({*found} - {None}) + found.count(None)

    @property
    def pretrainings(self):
        """How many pre-trainings, by seed and weights, are behind it; 0 where none is known."""
        return len({run.behind for run, _ in self.counted} - {None})

    def measure(self, column):
        """The Measure of a column in the chosen rows of what is counted."""
        groups = {}
        for run, row in self.counted:
            groups.setdefault(run.behind, []).extend(written([row] if row else [], column))
        found = [values for values in groups.values() if values]
        return measure_of([[statistics.fmean(values)] for values in found] if self.setting.solved else found)


def parse_row(header, line, columns):
    """One CSV line as a dict column -> float or None (an empty cell); `epoch` is an int.

    Raises: ValueError on a missing or non-numeric cell, epoch < 1, a fraction outside [0, 1].
    """
    cells = line.split(",")
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} of {len(header)} cells")
    row = dict.fromkeys(columns)
    row.update((name, float(cell) if cell.strip() else None)
               for name, cell in zip(header, cells) if name in row)
    if row["epoch"] is None or row["epoch"] < 1 or not row["epoch"].is_integer():
        raise ValueError(f"epoch {row['epoch']} is no whole number from 1")
    for name, value in row.items():
        if name.endswith(SHARES) and value is not None and (value < 0 or value > 1):
            raise ValueError(f"{name} {value} is no fraction in [0, 1]")
    return {**row, "epoch": int(row["epoch"])}


def read_rows(path, pretraining):
    """The whole rows of a CSV up to the first bad line, by rising epoch, and a complaint about the rest
    or None.

    A repeated epoch is a resumed run's: the rows written later count. Without one the order is no
    matter: somebody may have sorted them. A column that an older CSV lacks is None, one that is not
    known here is left out.
    Args: pretraining: whether it is pretrain.py's.
    Raises: ValueError if the file is no text, tells no loss by epoch, has two columns of a name or no
        whole row; OSError.
    """
    columns = PRETRAIN_COLUMNS if pretraining else TRAIN_COLUMNS
    *lines, torn = path.read_text(encoding="utf-8-sig").split("\n")
    header = lines[0].split(",") if lines else []
    needed = "epoch", "loss" if pretraining else "train_loss"
    missing = [name for name in needed if name not in header]
    if missing:
        raise ValueError(f"its header lacks {missing[0]}" if header else "it is empty")
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise ValueError(f"its header has two columns {twice[0]}")
    found, complaint = [], "the last line is half-written" if torn else None
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = parse_row(header, line, columns)
        except ValueError as error:
            complaint = f"line {number}: {error}"
            break
        found.append(row)
    if not found:
        raise ValueError(f"no whole row ({complaint or 'only a header'})")
    rows, most = _in_order(found), max(row["epoch"] for row in found)
    if not complaint and most > rows[-1]["epoch"]:
        complaint = f"epoch {rows[-1]['epoch']} comes after epoch {most}"
    return rows, complaint


def _in_order(found):
    """Rows by rising epoch, of a resumed run's those that were written last."""
    if len({row["epoch"] for row in found}) == len(found):
        return sorted(found, key=lambda row: row["epoch"])
    rows = []
    for row in found:
        while rows and rows[-1]["epoch"] >= row["epoch"]:
            rows.pop()
        rows.append(row)
    return rows


def rows_or_none(path, pretraining):
    """The whole rows of a CSV; None where there is no such file, or none in it."""
    try:
        return read_rows(path, pretraining)[0]
    except (OSError, ValueError):
        return None


def read_runs(folder, name_filter="*"):
    """Every usable RunRecord of a folder, of copies of one that with the most epochs; what is left out is
    named on stderr."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        if not fnmatch.fnmatchcase(path.name, f"*{name_filter}*"):
            continue
        config = read_config(path.with_suffix(".yml"))
        try:
            setting, seed, behind, run, doubt = identify(path.stem, config)
            rows, complaint = read_rows(path, setting.pretraining)
        except (ValueError, OSError) as error:
            print(f"skipped {printable(path)}: {error}", file=sys.stderr)
            continue
        key = setting, seed, behind, drawn_images(config), None if seed is not None else path
        before = found.get(key)
        if before:
            kept, left = (before.csv, path) if before.rows[-1]["epoch"] >= rows[-1]["epoch"] else (path, before.csv)
            print(f"skipped {printable(left)}: the same run as {printable(kept.name)}", file=sys.stderr)
            if kept != path:
                continue
        complaint = complaint and f"{complaint}; used up to epoch {rows[-1]['epoch']}"
        if complaint or doubt:
            said = "; ".join(filter(None, (complaint, doubt)))
            print(f"{printable(path)}: {said}", file=sys.stderr)
        planned = planned_epochs(config) or run and planned_epochs(read_config(
            folder / ".." / "checkpoint" / setting.model_type / run / "config.yml"))
        found[key] = RunRecord(setting, seed, rows, planned or rows[-1]["epoch"], config, behind, path)
    return list(found.values())


def diverged(row):
    """Whether a loss of this row is NaN or infinite."""
    return any(not math.isfinite(value) for name, value in row.items()
               if name.endswith("loss") and value is not None)


def choose_epoch(rows):
    """Of the rows with finite losses the best on validation, of equals the last; without validation
    the last, if possible of those that were tested; None if none."""
    finite = [row for row in rows if not diverged(row)]
    judged = [row for row in finite if written([row], "val_accuracy")]
    if judged:
        return max(reversed(judged), key=lambda row: row["val_accuracy"])
    tested = [row for row in finite if written([row], "test_accuracy")]
    return (tested or finite or [None])[-1]


def state_of(run):
    """"done", "unfinished" or "diverged"."""
    if diverged(run.rows[-1]):
        return "diverged"
    return "unfinished" if run.rows[-1]["epoch"] < run.planned else "done"


def summarise(setting, runs):
    """The seeds of one setting as a Result; its status is that of the run that went worst."""
    states = list(map(state_of, runs))
    worst = min(states, key=("diverged", "unfinished", "done").index)
    share = f" ({states.count(worst)} of {len(runs)})" if states.count(worst) < len(runs) else ""
    result = Result(setting, runs, [choose_epoch(run.rows) for run in runs], Measure(), Measure(),
                    worst + share)
    return result._replace(test=result.measure("test_accuracy"), val=result.measure("val_accuracy"))


def measure_of(groups):
    """The Measure of values in groups, a list for each pre-training; none of them empty."""
    means = [statistics.fmean(values) for values in groups]
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum((value - mean) ** 2 for values, mean in zip(groups, means) for value in values)
    return Measure(statistics.fmean(means) if means else None,
                   math.sqrt(squares / freedom) if freedom else None,
                   statistics.stdev(means) if len(means) > 1 else None)


def read_results(folder, name_filter="*"):
    """The runs of a folder as Results, a Setting each, in the order of their files."""
    by_setting = {}
    for run in read_runs(folder, name_filter):
        by_setting.setdefault(run.setting, []).append(run)
    groups = [part for runs in by_setting.values() for part in _of_one_sample(runs)]
    return [summarise(runs[0].setting, runs) for runs in groups]


def _of_one_sample(runs):
    """The runs of a Setting, apart where one seed of pre-training has drawn different images: from
    other ones, of which a share is named by its labels alone."""
    drawn = [drawn_images(run.config) for run in runs]
    if len(set(drawn)) == len({found and found[0] for found in drawn}):
        return [runs]
    groups = {}
    for run, found in zip(runs, drawn):
        more = (("seen images", found[1] if found else "not known"),)
        setting = run.setting._replace(more=tuple(sorted(run.setting.more + more)))
        groups.setdefault(setting, []).append(run._replace(setting=setting))
    return list(groups.values())


def written(rows, name):
    """The finite numbers of one column; cells that are empty or NaN are left out."""
    return [row[name] for row in rows if row.get(name) is not None and math.isfinite(row[name])]
