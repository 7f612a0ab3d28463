"""Compare the runs in res/ as tables and figures; epochs and settings are chosen on validation."""

import argparse
import csv
import fnmatch
import math
import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import report_figures
from conf.best import BEST, write_best
from files import whole
from report_figures import best_of, mean_std, written

TRAIN_COLUMNS = ("epoch learning_rate train_loss train_accuracy val_loss val_accuracy test_loss "
                 "test_accuracy test_top5_accuracy images_per_second seconds").split()
PRETRAIN_COLUMNS = ("epoch learning_rate loss contrast_accuracy knn_accuracy images_per_second "
                    "seconds").split()
NUMBER = r"\d+(?:\.\d*)?(?:e[-+]?\d+)?"
RUN_NAME = re.compile(
    r"(?P<pretrain>pretrain_)?(?P<model_type>[^_-]+)_"
    rf"(?P<run>(?P<data>.+)-(?P<optimizer>[^-]+)-lr(?P<lr>{NUMBER})-bs(?P<batch_size>\d+)"
    rf"(?:-ratio(?P<ratio>{NUMBER}))?(?:-labels(?P<labels>{NUMBER}))?(?:-seed(?P<seed>\d+))?)")
PLANNED_EPOCHS = re.compile(r"^\s*[\"']?epochs[\"']?:\s*(\d+)", re.MULTILINE)
SELECTION = ("The test accuracy is that of the epoch with the best validation accuracy, or of the "
             "last epoch where no validation accuracy was written. Nothing is chosen on the test "
             "set. Accuracies are fractions; ± is the sample standard deviation over seeds.")


class Setting(NamedTuple):
    """What a run varies apart from its seed; `ratio` None means the run name has none."""
    pretraining: bool
    data: str
    labels: float
    model_type: str
    optimizer: str
    lr: float
    batch_size: int
    ratio: float | None


class Run(NamedTuple):
    """One CSV: `rows` are dicts column -> number or None, by rising epoch."""
    setting: Setting
    seed: int
    rows: list
    planned: int


class Result(NamedTuple):
    """All seeds of one setting; `test` and `val` are (mean, standard deviation) or Nones."""
    setting: Setting
    runs: list
    chosen: list
    test: tuple
    val: tuple
    status: str


def parse_name(stem):
    """Split a CSV's name without `.csv` into (Setting, seed, run name). Raises: ValueError."""
    match = RUN_NAME.fullmatch(stem)
    if not match:
        raise ValueError("the name is not [pretrain_]<model type>_<data>-<optimizer>-lr<lr>"
                         "-bs<batch size>[-ratio<ratio>][-labels<ratio>][-seed<seed>]")
    ratio = None if match["ratio"] is None else float(match["ratio"])
    setting = Setting(match["pretrain"] is not None, match["data"], float(match["labels"] or 1),
                      match["model_type"], match["optimizer"], float(match["lr"]),
                      int(match["batch_size"]), ratio)
    return setting, int(match["seed"] or 0), match["run"]


def parse_row(header, line, columns):
    """One CSV line as a dict column -> float or None (an empty cell); `epoch` is an int.

    Raises: ValueError on a missing or non-numeric cell, epoch < 1, an accuracy outside [0, 1].
    """
    cells = line.split(",")
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} of {len(header)} cells")
    row = {name: float(cell) if cell.strip() else None
           for name, cell in zip(header, cells) if name in columns}
    if row["epoch"] is None or row["epoch"] < 1 or not row["epoch"].is_integer():
        raise ValueError(f"epoch {row['epoch']} is no whole number from 1")
    for name, value in row.items():
        if name.endswith("accuracy") and value is not None and (value < 0 or value > 1):
            raise ValueError(f"{name} {value} is no fraction in [0, 1]")
    return {**row, "epoch": int(row["epoch"])}


def read_rows(path, columns):
    """The whole rows of a CSV up to the first bad line, and a complaint about the rest or None.

    A repeated epoch is a resumed run's: the rows written later count.
    Raises: ValueError if the file is no text, has another header or no whole row; OSError.
    """
    *lines, torn = path.read_text(encoding="utf-8-sig").split("\n")
    header = lines[0].split(",") if lines else []
    missing = [name for name in columns if name not in header]
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


def planned_epochs(config):
    """The `epochs` of a run's config.yml, or None where the file or the key is absent."""
    try:
        match = PLANNED_EPOCHS.search(config.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return int(match[1]) if match else None


def read_runs(folder, name_filter):
    """Every usable Run of a folder; what is not usable is named on stderr. Raises: ValueError."""
    runs = []
    for path in sorted(folder.glob("*.csv")):
        if not fnmatch.fnmatchcase(path.name, f"*{name_filter}*"):
            continue
        try:
            setting, seed, run = parse_name(path.stem)
            columns = PRETRAIN_COLUMNS if setting.pretraining else TRAIN_COLUMNS
            rows, complaint = read_rows(path, columns)
        except (ValueError, OSError) as error:
            print(f"skipped {path}: {error}", file=sys.stderr)
            continue
        if complaint:
            print(f"{path}: {complaint}; used up to epoch {rows[-1]['epoch']}", file=sys.stderr)
        config = folder / ".." / "checkpoint" / setting.model_type / run / "config.yml"
        runs.append(Run(setting, seed, rows, planned_epochs(config) or rows[-1]["epoch"]))
    if not runs:
        raise ValueError(f"no usable CSV in {folder} with {name_filter!r} in its name: "
                         "run train.py first, or point --res to its folder")
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
    return Result(setting, runs, chosen, mean_std(written(chosen, "test_accuracy")),
                  mean_std(written(chosen, "val_accuracy")), worst + share)


def order(result):
    """Sort key: test accuracy descending, absent ones last."""
    return -result.test[0] if result.test[0] is not None else math.inf


def record(result):
    """One line of results.csv: a dict column -> number, text or None."""
    setting = result.setting
    behind = min(result.runs, key=lambda run: run.rows[-1]["epoch"] - run.planned)
    seconds = [sum(written(run.rows, "seconds")) for run in result.runs]
    return {"data": setting.data, "label_ratio": setting.labels, "setting": setting.model_type,
            "optimizer": setting.optimizer, "learning_rate": setting.lr,
            "batch_size": setting.batch_size, "pretraining_sample_ratio": setting.ratio,
            "test_accuracy": result.test[0], "test_accuracy_std": result.test[1],
            "test_top5_accuracy": mean_std(written(result.chosen, "test_top5_accuracy"))[0],
            "val_accuracy": result.val[0], "val_accuracy_std": result.val[1],
            "chosen_epochs": " ".join(str(row["epoch"]) for row in result.chosen),
            "epochs_done": behind.rows[-1]["epoch"], "epochs_planned": behind.planned,
            "seeds": len({run.seed for run in result.runs}),
            "seconds_per_run": round(statistics.fmean(seconds), 1),
            "status": result.status}


def mean_std_text(mean, std):
    """`0.6321 ± 0.0042`, without a deviation `0.6321`, without a mean `-`."""
    return "-" if mean is None else f"{mean:.4f}" + (f" ± {std:.4f}" if std is not None else "")


def cells(result):
    """One line of the printed table: a dict heading -> text."""
    values, setting = record(result), result.setting
    data = f", {setting.data}" if setting.pretraining else ""
    minutes, seconds = divmod(round(values["seconds_per_run"]), 60)
    measures = ({"Loss": "loss", "Contrast accuracy": "contrast_accuracy",
                 "k-NN accuracy": "knn_accuracy"} if setting.pretraining else
                {"Test accuracy": "test_accuracy", "Validation accuracy": "val_accuracy"})
    return {"Setting": setting.model_type + data, "Optimizer": setting.optimizer,
            "Learning rate": f"{setting.lr:g}", "Batch size": f"{setting.batch_size}",
            "Pre-training sample ratio": "-" if setting.ratio is None else f"{setting.ratio:g}",
            **{heading: mean_std_text(*mean_std(written(result.chosen, name)))
               for heading, name in measures.items()},
            "Epochs": f"{values['epochs_done']}/{values['epochs_planned']}",
            "Seeds": f"{values['seeds']}",
            "Time per run": f"{minutes // 60}:{minutes % 60:02}:{seconds:02}",
            "Status": result.status}


def layout(results):
    """Results, best test accuracy first, as a Markdown table that is readable as plain text."""
    rows = [cells(result) for result in sorted(results, key=order)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [{name: name for name in widths}, {name: "-" * widths[name] for name in widths}, *rows]
    return "\n".join("| " + " | ".join(line[name].ljust(widths[name]) for name in widths) + " |"
                     for line in lines)


def section(title, results, out, suffix):
    """Draw one dataset's figures into `out` and return its Markdown."""
    best = best_of(results)
    for model_type in sorted({result.setting.model_type for result in results} - set(best)):
        print(f"{title}: {model_type} has no best setting: all diverged, or there are several and "
              "no validation accuracy (train.py --val-ratio)", file=sys.stderr)
    parts = [f"## {title}"]
    if best:
        parts += ["Each method at its setting with the best validation accuracy:",
                  layout(best.values())]
    parts += [f"![{name}]({name}.png)"
              for name in report_figures.write_all(results, title, out, suffix)]
    return "\n\n".join([*parts, "All settings by test accuracy:", layout(results)])


def write_report(results, data, out):
    """Write the tables and figures into `out`; return the Markdown. Raises: ValueError, OSError."""
    trained = [result for result in results if not result.setting.pretraining]
    picked = [result for result in trained if data in (None, result.setting.data)]
    if data is not None and not picked:
        names = ", ".join(sorted({result.setting.data for result in trained})) or "none"
        raise ValueError(f"no training run on {data}; there are: {names}")
    out.mkdir(parents=True, exist_ok=True)
    groups, parts = {}, ["# Results", SELECTION]
    for result in picked:
        groups.setdefault((result.setting.data, result.setting.labels), []).append(result)
    for (name, labels), group in sorted(groups.items()):
        title = name + (f", label ratio {labels:g}" if labels != 1 else "")
        suffix = "_" + title.replace(", label ratio ", "-labels") if len(groups) > 1 else ""
        parts.append(section(title, group, out, suffix))
    pretrained = [result for result in results if result.setting.pretraining]
    parts += ["## Pre-training, last epoch", layout(pretrained)] if pretrained else []
    with whole(out / "results.csv", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, record(results[0]))
        writer.writeheader()
        writer.writerows(map(record, sorted(picked, key=order)))
    text = "\n\n".join(parts) + "\n"
    with whole(out / "results.md", encoding="utf-8") as file:
        file.write(text)
    return text


def best_settings(results):
    """[(data, label ratio, model type, options)] of each method's best setting, by validation."""
    groups, found = {}, []
    for result in results:
        if not result.setting.pretraining:
            groups.setdefault((result.setting.data, result.setting.labels), []).append(result)
    for (data, labels), group in sorted(groups.items()):
        for model_type, result in best_of(group).items():
            setting = result.setting
            options = {"optimizer": setting.optimizer, "lr": setting.lr,
                       "batch-size": setting.batch_size}
            found.append((data, labels, model_type, options))
    return found


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--res", type=Path, default=Path("res"), help="CSV folder (default: res)")
    parser.add_argument("--out", type=Path, help="folder to write report/ into (default: as --res)")
    parser.add_argument("--data", help="only training runs on it (default: a section a dataset)")
    parser.add_argument("--best", type=Path, metavar="YAML", nargs="?", const=BEST,
                        help="write each method's best setting, by validation, into this file, "
                        "which run.sh reads (conf/best.yaml)")
    parser.add_argument("--name-filter", "--name_filter", default="*", metavar="TEXT",
                        help="only CSVs with this in their name; * and ? stand for any characters")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    try:
        by_setting = {}
        for run in read_runs(args.res, args.name_filter):
            by_setting.setdefault(run.setting, []).append(run)
        results = list(map(summarise, by_setting, by_setting.values()))
        out = (args.out or args.res) / "report"
        text = write_report(results, args.data, out)
        if args.best:
            write_best(args.best, best_settings(
                result for result in results if args.data in (None, result.setting.data)))
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(re.sub(r"!\[.*\n\n", "", text) + f"\nwrote {out}")
    if args.best:
        print(f"wrote {args.best}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
