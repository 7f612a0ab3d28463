"""Compare the runs in res/ as tables and figures; epochs and settings are chosen on validation."""

import argparse
import csv
import math
import re
import statistics
import sys
from pathlib import Path

import report_figures
from conf.best import BEST, write_best
from files import whole
from results import (TRAIN_COLUMNS, best_of, diverged, mean_std, parse_name, read_results,
                     read_rows, written)  # some for tests/test_properties.py alone

SELECTION = ("The test accuracy is that of the epoch with the best validation accuracy, or of the "
             "last epoch where no validation accuracy was written. Nothing is chosen on the test "
             "set. Accuracies are fractions; ± is the sample standard deviation over seeds.")


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
        results = read_results(args.res, args.name_filter)
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
