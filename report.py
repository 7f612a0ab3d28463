"""Compare the runs in res/ in words, tables and figures; epochs and settings are chosen on validation."""

import argparse
import csv
import re
import signal
import sys
from pathlib import Path

from records.files import whole
from records.names import printable
from records.output import ended, print_anything
from records.results import read_results
from records.selection import best_of, none_best
from reporting.answer import answer_parts
from reporting.best import BEST, told_options, write_best
from reporting.figures import write_all, write_labels
from reporting.readme import STUDY, write_readme
from reporting.style import bests, free_stem, methods
from reporting.tables import (CROSS_NOTE, SELECTION, cross_table, layout, link, method_name, order,
                              plain, record)
from reporting.tasks import by_images, by_task
from utils import path


def section(title, results, out, suffix):
    """Draw one dataset's figures into `out` and return its Markdown."""
    best = bests(results)
    for group in methods(results).values():
        if not best_of(group):
            print(f"{title}: {method_name(group)} has no best setting: {none_best(group)}",
                  file=sys.stderr)
    parts = [f"## {plain(title)}"]
    if best:
        parts += ["Each method at its setting with the best validation accuracy:",
                  layout(best)]
    parts += map(link, write_all(results, title, out, suffix))
    return "\n\n".join([*parts, "All settings by test accuracy:", layout(results)])


def sections(results, out):
    """Draw the figures into `out`. Returns: Markdown for each dataset and label ratio."""
    groups, parts = by_task(results), []
    for task, group in groups.items():
        suffix = "_" + "-".join(filter(None, [task.data, f"labels{task.labels:g}" * (task.labels != 1),
                                              task.images.replace(" ", "")])) if len(groups) > 1 else ""
        parts.append(section(task.title, group, out, suffix))
    for task, found in by_images(results).items():
        figures = write_labels(found, task.title, out)
        if len({result.setting.labels for result in found}) > 1:
            parts += [f"## {plain(task.title)}, by label ratio", *map(link, figures),
                      cross_table(found, "labels"), CROSS_NOTE]
    return parts


def write_report(results, data, out):
    """Write the tables and figures into `out`; return the Markdown. Raises: ValueError, OSError."""
    trained = [result for result in results if not result.setting.pretraining]
    picked = [result for result in trained if data in (None, result.setting.data)]
    if data is not None and not picked:
        names = ", ".join(sorted({result.setting.data for result in trained})) or "none"
        raise ValueError(f"no training run on {data}; there are: {names}")
    out.mkdir(parents=True, exist_ok=True)
    before = [result for result in results if result.setting.pretraining]
    sources = {result.setting.source for result in picked}
    pretrained = [result for result in before if data is None or result.setting.data in sources]
    parts = ["# Results", *answer_parts([*picked, *before]), SELECTION, *sections(picked, out)]
    parts += ["## Pre-training, last epoch", layout(pretrained)] if pretrained else []
    with whole(out / "results.csv", newline="", encoding="utf-8",
               errors="backslashreplace") as file:
        lines = [record(result) for result in sorted(picked, key=order)]
        names = dict.fromkeys(name for line in lines or [record(results[0])] for name in line)
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)
    text = "\n\n".join(parts) + "\n"
    with whole(out / "results.md", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return text


def best_settings(results):
    """Each method's best setting, by validation, as of reporting.best.write_best.

    Raises: ValueError where a dataset has several test parts, each with a best setting of its own.
    """
    found, tasks = [], by_task(results)
    for task, group in tasks.items():
        if task.images:
            raise ValueError(f"{task.data}: its runs have several test parts, see the report; choose "
                             "those of one for --best with --res or --name-filter")
        for model_type, result in best_of(group).items():
            setting = result.setting
            told = told_options(result.runs[0].config.get("command"))
            named = {"optimizer": setting.optimizer, "lr": setting.lr,
                     "batch-size": setting.batch_size, "stem": free_stem(setting)}
            named = {name: value for name, value in named.items() if value is not None}
            found.append((task.data, task.labels, model_type, told or named, told is not None))
    return found


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--res", type=path, help="CSV folder, or the --output-dir that it lies in "
                        "(default: res, with --readme that of the repository's own study)")
    parser.add_argument("--out", type=path, help="folder to write report/ into (default: as --res)")
    parser.add_argument("--data", help="only training runs on it, and pre-trainings on what they "
                        "started from (default: a section a dataset)")
    parser.add_argument("--best", type=path, metavar="YAML", nargs="?", const=BEST,
                        help="write each method's best setting, by validation, into this file, "
                        "which run.sh reads (conf/best.yaml)")
    parser.add_argument("--readme", type=path, nargs="?", const=Path("README.md"),
                        help="instead of all this, write the results in --res into the marked part "
                        "of this file (README.md), and their figures into figures/ beside --res")
    parser.add_argument("--name-filter", "--name_filter", default="*", metavar="TEXT",
                        help="only CSVs with this in their name; * and ? stand for any characters")
    return parser


def main(argv=None):
    print_anything()
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.readme and (args.out or args.data or args.best or args.name_filter != "*"):
        parser.error("--readme shows all runs: it goes with --res alone")
    try:
        if args.readme:
            write_readme(args.readme, args.res or STUDY)
            print(f"wrote {args.readme}")
            return 0
        args.res = args.res or Path("res")
        if (args.res / "res").is_dir() and not any(args.res.glob("*.csv")):  # the --output-dir of its runs
            args.res /= "res"
        results = read_results(args.res, args.name_filter)
        if not results:
            raise ValueError(f"no usable CSV in {args.res} with {args.name_filter!r} in its name: "
                             "run train.py first, or point --res to its folder")
        out = (args.out or args.res) / "report"
        text = write_report(results, args.data, out)
        if args.best:
            write_best(args.best, best_settings(
                result for result in results if args.data in (None, result.setting.data)))
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 1
    print(re.sub(r"!\[.*\n\n", "", text) + f"\nwrote {out}")
    if args.best:
        print(f"wrote {args.best}")
    return 0


if __name__ == "__main__":
    status, failed = 0, None
    try:
        status = main()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = 128 + signal.SIGINT
    except OSError as error:  # of standard output: main has handled the others
        failed = error
    raise SystemExit(ended(status, failed))
