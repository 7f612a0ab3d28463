"""The results section of README.md, written from the CSVs and YAML files of the study alone."""

import itertools
import os
import textwrap
from collections import Counter
from pathlib import Path

from records.files import whole
from records.results import read_results, written
from records.setting import parts_of, setting_in
from reporting.answer import words
from reporting.comparison import compare
from reporting.figures import draw_best, save
from reporting.lines import draw_curves, draw_labels, draw_ratio
from reporting.style import methods
from reporting.tables import (CROSS_NOTE, SELECTION, best_cell, cells, chosen, clock, common,
                              copy_notes, cross_table, link, markdown, method_name, plain)
from reporting.tasks import by_images
from self_supervised_pretrained.registry import PRETRAININGS

START, END = "<!-- results: written by report.py --readme -->", "<!-- end of results -->"
STUDY = Path("res", "study", "res")  # the repository's own
NOTHING = "No results yet."
LINE = 120  # of a line of text
DEMO = "digits"  # the dataset of run.sh demo, whose runs are no results
SOURCE = ("`python report.py --readme` writes this section and its figures from the CSVs in "
          "`res/study/`. The YAML file beside each CSV holds all settings of its run and the "
          "command that made it.")
FIGURES = {"best": (draw_best, "Test accuracy of each method at its best"),
           "curves": (draw_curves, "Learning curves"),
           "ratio": (draw_ratio, "Test accuracy by sample ratio"),
           "labels": (draw_labels, "Test accuracy by label ratio")}


def write_readme(path, res):
    """Bring the results in `res` into the file at `path`, and its figures into figures/ beside.

    Raises: ValueError where the file lacks the two marks, OSError.
    """
    text = path.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    old, end, after = rest.partition(END)
    if not (start and end) or START in old + after or END in before + after:
        raise ValueError(f"{path}: expected {START} and below it {END}, once each")
    results = [result for result in read_results(res) if result.setting.data != DEMO]
    folder = res.parent / "figures"
    names = draw(results, folder) if results else []
    for figure in set(folder.glob("*.png")) - {folder / f"{name}.png" for name in names}:
        figure.unlink()
    place = Path(os.path.relpath(folder, path.parent)).as_posix()
    section = results_section(results, names, place) if results else NOTHING
    with whole(path, encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{before}{START}\n{section}\n{END}{after}")


def by_title(results):
    """{dataset, with its test images where there are several such parts: its training results}."""
    return {task.title: found for task, found in by_images(results).items()}


def with_all_labels(results):
    return [result for result in results if result.setting.labels == 1]


def draw(results, folder):
    """Draw the figures of every dataset as PNG. Returns: their names without ending."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(f"{data}_{name}", function, found if name == "labels" else with_all_labels(found),
              data) for data, found in by_title(results).items()
             for name, (function, _) in FIGURES.items()]
    return save(tasks, folder, ("png",))


def results_section(results, names, folder):
    """The Markdown between the marks. Args: names: of the figures; folder: as in their links."""
    parts = [scale(results), f"{SELECTION} {CROSS_NOTE}"]
    pretrained = [result for result in results if result.setting.pretraining]
    for data, found in by_title(results).items():
        figures = {name: link(f"{data}_{name}", text, f"{folder}/")
                   for name, (_, text) in FIGURES.items() if f"{data}_{name}" in names}
        parts += dataset_parts(data, found, figures)
        compared = [words(each) for each in compare([*found, *pretrained]) if each.pairs]
        parts += ["### In words", *itertools.chain(*compared)] if compared else []
    parts += pretraining_parts(pretrained) if pretrained else []
    return "\n\n".join(map(_wrapped, [*parts, SOURCE]))


def _wrapped(part):
    """A paragraph or a list in lines of LINE signs at most; anything else as it is."""
    if part.startswith(("#", "|", "!")):
        return part
    return "\n".join(textwrap.fill(line, LINE, subsequent_indent="  " * line.startswith("- "),
                                   break_long_words=False, break_on_hyphens=False)
                     for line in part.split("\n"))


def dataset_parts(data, results, figures):
    """The Markdown of one dataset. Args: figures: {name: its link}."""
    def shown(*names):
        return [figures[name] for name in names if name in figures]

    parts, full = [f"### {plain(data)}"], with_all_labels(results)
    if full:
        parts += ["Each method at its best on validation over all its settings and sampling "
                  "ratios, with all labels. Times are of the epochs of one run: without "
                  "pre-training, and without the features that a frozen backbone gives once.",
                  *best_parts(full), *shown("best", "curves")]
    if len({result.setting.ratio for result in full} - {None}) > 1:
        parts += ["By sampling ratio, the share of the images that pre-training saw:",
                  cross_table(full, "ratio"), *shown("ratio")]
    if len({result.setting.labels for result in results}) > 1:
        parts += ["By label ratio, the share of the labelled training images, each at its best on "
                  "validation over sampling ratios, too:",
                  cross_table(results, "labels"), *shown("labels")]
    return parts


def best_parts(results):
    """A Markdown table with a line for each method, and what is said of it."""
    groups = list(methods(results).values())
    names, found = list(map(method_name, groups)), list(map(chosen, groups))
    best = [result for result in found if result]
    if not best:
        return [markdown([{"Method": name, "Status": best_cell(group)}
                          for name, group in zip(names, groups)])]
    lines = iter(cells(best, "Method", [name for name, one in zip(names, found) if one]))
    rows = [next(lines) if one else {"Method": name, "Status": best_cell(group)}
            for name, one, group in zip(names, found, groups)]
    columns = next(row for row, one in zip(rows, found) if one)
    rows = [{**dict.fromkeys(columns, "-"), **row} for row in rows]
    return list(filter(None, [common(best), short_table(rows), *copy_notes(best)]))


def short_table(rows):
    """Rows of `cells` as a Markdown table without what says nothing here."""
    dull = ["Status"] * all(row["Status"] == "done" for row in rows)
    return markdown([{name: row[name] for name in row if name not in dull} for row in rows])


def pretraining_parts(results):
    """The Markdown of the pre-trainings."""
    results = sorted(results, key=lambda r: r.setting._replace(ratio=r.setting.ratio or 0))
    names, probes = [], set()
    for setting, result in ((result.setting, result) for result in results):
        kind = PRETRAININGS.get(setting.model_type)
        names.append(f"{kind.label if kind else setting.model_type}, {setting.data}")
        probes |= {str(setting_in(run.config, "knn_data") or setting.data) for run in result.runs}
    ranks = " RankMe: of the same features." * any(r.measure("rankme").mean for r in results)
    parts = ["### Pre-training", "At the last epoch. Loss: that of the method (SimCLR: NT-Xent; with labels: "
             "cross-entropy). k-NN accuracy: of the frozen features, on training images of "
             f"{listing(probes)}." + ranks, common(results),
             short_table(cells(results, "Pre-training", names))]
    return list(filter(None, parts))


def scale(results):
    """A line on how large all this is, from the settings beside the CSVs."""
    runs = [run for result in results for run in result.runs]
    seconds = sum(sum(written(run.rows, "seconds")) for run in runs)
    known = [run.config for run in runs if run.config]
    machines = Counter(" then ".join(dict.fromkeys(map(machine, parts_of(config)))) for config in known)
    parts = [f"**Scale.** {counted(len(runs), 'run')}, {clock(seconds)} (h:mm:ss) of epochs in all"]
    parts += [f"{word} on {listing(data)}: {budgets} at {listing(sizes, ' px')}"
              for word, data, budgets, sizes in extents(runs)]
    parts.append("; ".join(name + f": {counted(count, 'run')}" * (len(machines) > 1)
                           for name, count in sorted(machines.items())))
    made_by = [part for config in known for part in parts_of(config)]
    for word, value_of in (("PyTorch", torch_version), ("Commit", commit)):
        found = set(map(value_of, made_by)) - {""}
        parts += [f"{word} {listing(found)}"] if found else []
    if len(known) < len(runs):
        parts.append(f"{counted(len(runs) - len(known), 'run')} without settings beside their CSV")
    return ". ".join(filter(None, parts)) + "."


def torch_version(config):
    versions = config.get("versions")
    return str(versions.get("torch", "")) if isinstance(versions, dict) else ""


def commit(config):
    """The short commit of a run, with + where files were changed; "" where it is unknown."""
    text = str(config.get("commit") or "")
    return text[:7] + "+" * text.endswith("+")


def extents(runs):
    """[("Pre-training" or "Training", datasets, what is planned in words, sizes of input)]."""
    found = []
    for word, pretraining in (("Pre-training", True), ("Training", False)):
        some = [run for run in runs if run.setting.pretraining == pretraining]
        if some:
            found.append((word, {run.setting.data for run in some}, planned(some),
                          {input_size(run) for run in some}))
    return found


def planned(runs):
    """`4 and 18 epochs, 11 penalties`: lbfgs has these."""
    counts = {"epochs": set(), "penalties": set()}
    for run in runs:
        counts["penalties" if run.setting.optimizer == "lbfgs" else "epochs"].add(run.planned)
    return ", ".join(f"{listing(found)} {word}" for word, found in counts.items() if found)


def input_size(run):
    """px a side, or "default size" where it is not written."""
    size = setting_in(run.config, "image_size")
    return size if isinstance(size, int) else "default size"


def machine(config):
    """Where a run took place."""
    counts = [counted(config[name], word) for name, word, usual in
              (("threads", "thread", 0), ("processes", "process", 1))
              if isinstance(config.get(name), int) and config[name] != usual]
    name = str(config.get("machine") or "unknown machine")
    return name + f" ({', '.join(counts)})" * bool(counts)


def counted(number, word):
    """`1 run`, `2 runs`."""
    return f"{number} {word}" + ("es" if word.endswith("s") else "s") * (number != 1)


def listing(values, unit=""):
    """`1, 5 and 20`: numbers by size, each with its unit, before words."""
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    *texts, last = [value if isinstance(value, str) else f"{value}{unit}" for value in ordered]
    return ", ".join(texts) + " and " * bool(texts) + last
