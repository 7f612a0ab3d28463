"""Read the runs in res/: what a file's name says, its whole rows, the epoch validation chose."""

import fnmatch
import math
import statistics
import sys
from typing import NamedTuple

import yaml

from records.names import printable
from records.runs import PRETRAIN_COLUMNS, TRAIN_COLUMNS, identity_of
from records.setting import Setting, setting_by_name, setting_of

CONFIG_BYTES = 2 ** 20  # a larger file is no configuration


class RunRecord(NamedTuple):
    """One CSV: `rows` are dicts column -> number or None, by rising epoch. `planned` epochs.
    `config`: what the YAML file beside it says. `behind`: seeds of the runs that made its
    weights."""
    setting: Setting
    seed: int
    rows: list
    planned: int
    config: dict
    behind: tuple = ()

    @property
    def settings(self):
        """flag -> value, as far as it is known."""
        found = self.config.get("settings", self.config)
        return found if isinstance(found, dict) else {}


class Result(NamedTuple):
    """All seeds of one setting; `test` and `val` are (mean, standard deviation) or Nones: the mean
    over pre-trainings of the means over seeds of training, and the deviation over the latter, pooled
    within each pre-training. `between`: the deviation of the test accuracy between pre-trainings,
    None with fewer than two."""
    setting: Setting
    runs: list
    chosen: list
    test: tuple
    val: tuple
    status: str
    between: float | None = None

    @property
    def seeds(self):
        """How many seeds of training."""
        return len({run.seed for run in self.runs})

    @property
    def pretrainings(self):
        """How many seeds of pre-training; 0 where there is none of ours."""
        return len({run.behind for run in self.runs} - {()})


def parse_row(header, line, columns):
    """One CSV line as a dict column -> float or None (an empty cell); `epoch` is an int.

    Raises: ValueError on a missing or non-numeric cell, epoch < 1, an accuracy outside [0, 1].
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
        if name.endswith("accuracy") and value is not None and (value < 0 or value > 1):
            raise ValueError(f"{name} {value} is no fraction in [0, 1]")
    return {**row, "epoch": int(row["epoch"])}


def read_rows(path, pretraining):
    """The whole rows of a CSV up to the first bad line, and a complaint about the rest or None.

    A repeated epoch is a resumed run's: the rows written later count. A column that an older CSV
    lacks is None, one that is not known here is left out.
    Args: pretraining: whether it is pretrain.py's.
    Raises: ValueError if the file is no text, tells no loss by epoch or has no whole row; OSError.
    """
    columns = PRETRAIN_COLUMNS if pretraining else TRAIN_COLUMNS
    *lines, torn = path.read_text(encoding="utf-8-sig").split("\n")
    header = lines[0].split(",") if lines else []
    needed = "epoch", "loss" if pretraining else "train_loss"
    missing = [name for name in needed if name not in header]
    if missing:
        raise ValueError(f"its header lacks {missing[0]}" if header else "it is empty")
    rows, complaint = [], "the last line is half-written" if torn else None
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = parse_row(header, line, columns)
        except ValueError as error:
            complaint = f"line {number}: {error}"
            break
        while rows and rows[-1]["epoch"] >= row["epoch"]:
            rows.pop()
        rows.append(row)
    if not rows:
        raise ValueError(f"no whole row ({complaint or 'only a header'})")
    return rows, complaint


def rows_or_none(path, pretraining):
    """The whole rows of a CSV; None where there is no such file, or none in it."""
    try:
        return read_rows(path, pretraining)[0]
    except (OSError, ValueError):
        return None


def read_config(path):
    """The settings in a run's YAML file; {} where it is absent, half-written or something else."""
    try:
        if not path.is_file() or path.stat().st_size > CONFIG_BYTES:
            return {}
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception:  # PyYAML raises half a dozen others than its own, e.g. for `!!int ''`
        return {}
    return config if isinstance(config, dict) else {}


def planned_epochs(config):
    """The `epochs` of a run's settings, or None where they have no such number."""
    known = config.get("settings", config)
    epochs = known.get("epochs") if isinstance(known, dict) else None
    return epochs if type(epochs) is int and epochs > 0 else None


def read_runs(folder, name_filter="*"):
    """Every usable RunRecord of a folder; what is not usable is named on stderr."""
    runs = []
    for path in sorted(folder.glob("*.csv")):
        if not fnmatch.fnmatchcase(path.name, f"*{name_filter}*"):
            continue
        config = read_config(path.with_suffix(".yml"))
        identity, run, behind = identity_of(config), path.stem, ()
        try:
            if identity:
                setting, seed, behind = setting_of(identity)
            else:
                setting, seed, run = setting_by_name(path.stem, config)
            rows, complaint = read_rows(path, setting.pretraining)
        except (ValueError, OSError) as error:
            print(f"skipped {printable(path)}: {error}", file=sys.stderr)
            continue
        if complaint:
            print(f"{printable(path)}: {complaint}; used up to epoch {rows[-1]['epoch']}",
                  file=sys.stderr)
        planned = planned_epochs(config) or planned_epochs(read_config(
            folder / ".." / "checkpoint" / setting.model_type / run / "config.yml"))
        runs.append(RunRecord(setting, seed, rows, planned or rows[-1]["epoch"], config, behind))
    return runs


def diverged(row):
    """Whether a loss of this row is NaN or infinite."""
    return any(not math.isfinite(value) for name, value in row.items()
               if name.endswith("loss") and value is not None)


def choose_epoch(rows):
    """Of the rows with finite losses the first best on validation, else the last; None if none."""
    finite = [row for row in rows if not diverged(row)]
    judged = [row for row in finite if written([row], "val_accuracy")]
    return max(judged, key=lambda row: row["val_accuracy"]) if judged else (finite or [None])[-1]


def summarise(setting, runs):
    """The seeds of one setting as a Result; its status is that of the run that went worst."""
    chosen = [row for row in (choose_epoch(run.rows) for run in runs) if row]
    states = ["diverged" if any(map(diverged, run.rows)) else
              "unfinished" if run.rows[-1]["epoch"] < run.planned else "done" for run in runs]
    worst = min(states, key=("diverged", "unfinished", "done").index)
    share = f" ({states.count(worst)} of {len(runs)})" if states.count(worst) < len(runs) else ""
    parts = [[row for run in runs if run.behind == behind for row in [choose_epoch(run.rows)]
              if row] for behind in dict.fromkeys(run.behind for run in runs)]
    test, val = (nested([written(part, name) for part in parts])
                 for name in ("test_accuracy", "val_accuracy"))
    return Result(setting, runs, chosen, test[:2], val[:2], worst + share, test[2])


def nested(parts):
    """(mean of the means, deviation within, deviation of the means) of lists of numbers, each None
    where there are too few; empty lists count for nothing."""
    parts = [part for part in parts if part]
    means, freedom = [statistics.fmean(part) for part in parts], sum(map(len, parts)) - len(parts)
    within = [statistics.variance(part) * (len(part) - 1) for part in parts if len(part) > 1]
    mean, between = mean_std(means)
    return mean, math.sqrt(sum(within) / freedom) if freedom else None, between


def read_results(folder, name_filter="*"):
    """The runs of a folder as Results, in the order of their files."""
    by_setting = {}
    for run in read_runs(folder, name_filter):
        by_setting.setdefault(run.setting, []).append(run)
    return list(map(summarise, by_setting, by_setting.values()))


def written(rows, name):
    """The finite numbers of one column; cells that are empty or NaN are left out."""
    return [row[name] for row in rows if row.get(name) is not None and math.isfinite(row[name])]


def mean_std(values):
    """(mean, sample standard deviation); each None where there are too few values."""
    return (statistics.fmean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None)


def best_of(results):
    """{model type: its Result with the best validation accuracy (the first of equals)}.

    Diverged ones do not count; without validation accuracies only a single setting is the best.
    """
    best = {}
    for model_type in sorted({result.setting.model_type for result in results}):
        able = [result for result in results if result.setting.model_type == model_type
                and not result.status.startswith("diverged")]
        judged = [result for result in able if result.val[0] is not None]
        if judged:
            best[model_type] = max(judged, key=lambda result: result.val[0])
        elif len(able) == 1:
            best[model_type] = able[0]
    return best
