"""The tables of a report: results as lines of results.csv and of Markdown."""

import math
import statistics
from urllib.parse import quote

from conf.values import clock
from records.names import printable
from records.results import written
from records.selection import best_of
from records.setting import table
from reporting.columns import apart, heading, names_of, shared
from reporting.style import is_partial, label_of, methods, ratio_text

SELECTION = ("The test accuracy is that of the epoch with the best validation accuracy, or of the "
             "last epoch where no validation accuracy was written. Nothing is chosen on the test "
             "set. Accuracies are fractions; ± is the sample standard deviation over seeds of "
             "training, pooled within pre-trainings. Where there are several pre-trainings that "
             "differ in their seed, a mean is that of their means, whose sample standard deviation "
             "has a column of its own. A linear classifier that is solved (lbfgs) on all labels is "
             "the same for every seed, and counts once for each pre-training.")
CROSS_NOTE = ("In tables by ratio, a cell is the test accuracy of its setting best on validation; where "
              "there are several pre-trainings, ± is over their means. In brackets is the number of "
              "seeds, or of pre-trainings x seeds (of trainings on pre-trainings, where each has a seed "
              "of its own); * marks unfinished training.")
COPIES = {"train/val": ("validation", "labelled training"),
          "train/test": ("test", "labelled training"),
          "pretraining/val": ("validation", "pre-training"),
          "pretraining/test": ("test", "pre-training")}  # YAML key -> whose copies, of whose images
FIRST = {False: ("model_type",), True: ("model_type", "data")}  # in the first column of a table
MOST_NAMES = 5  # rows that a line names
BALANCED, MACRO_F1 = "Test balanced accuracy", "Test macro F1"  # headings


def order(result):
    """Sort key: test accuracy descending, absent ones last."""
    return -result.test.mean if result.test.mean is not None else math.inf


def record(result):
    """One line of results.csv: a dict column -> number, text or None."""
    setting = result.setting
    behind = min(result.runs, key=lambda run: run.rows[-1]["epoch"] - run.planned)
    seconds = [sum(written(run.rows, "seconds")) for run, _ in result.counted]
    chosen = [row for _, row in result.counted if row]
    found = {"data": setting.data, "label_ratio": setting.labels, "setting": setting.model_type,
             "optimizer": setting.optimizer, "learning_rate": setting.lr,
             "batch_size": setting.batch_size, "pretraining_data": setting.source,
             "pretraining_sample_ratio": setting.ratio,
             "test_accuracy": result.test.mean, "test_accuracy_std": result.test.std,
             "test_accuracy_std_pretrainings": result.test.between,
             "test_top5_accuracy": result.measure("test_top5_accuracy").mean,
             "test_balanced_accuracy": result.measure("test_balanced_accuracy").mean,
             "test_macro_f1": result.measure("test_macro_f1").mean,
             "val_accuracy": result.val.mean, "val_accuracy_std": result.val.std,
             "val_accuracy_std_pretrainings": result.val.between,
             "chosen_epochs": " ".join(str(row["epoch"]) for row in chosen),
             "chosen_penalties": " ".join(f"{row:g}" for row in written(chosen, "penalty")),
             "epochs_done": behind.rows[-1]["epoch"], "epochs_planned": behind.planned,
             "seeds": result.seeds, "pretraining_seeds": result.pretrainings,
             "runs": len(result.counted), "seconds_per_run": round(statistics.fmean(seconds), 1),
             "status": result.status}
    for name, value in setting.more:
        column = name.replace("pre-training ", "pretraining_").replace(" ", "_")
        found["setting_" * (column in found) + column] = value
    for part in COPIES:
        counts = copies(result, part)
        found[f"copies_{part.replace('/', '_')}"] = None if None in counts else max(counts or [0])
    return found


def copies(result, part):
    """The numbers of exact copies that its runs write down for two parts, None where not known."""
    found = set()
    for run in result.runs:
        count = table(run.config, "duplicates").get(part, False)
        if type(count) is int and count >= 0 or count is None and (
                part.startswith("train/") or run.config.get("weights")):
            found.add(count)
    return found


def mean_std_text(measure, digits=4):
    """`0.6321 ± 0.0042`, without a deviation `0.6321`, without a mean `-`."""
    mean, *spread = ("-" if value is None else f"{value:.{digits}f}" for value in measure[:2])
    return mean + f" ± {spread[0]}" * (spread[0] != "-")


def cells(results, first="Setting", labels=None):
    """Results as lines of a table: dicts heading -> text, with the columns that they need.

    Args: first: heading of the first column. labels: its texts (default: the model types).
    """
    pretraining = results[0].setting.pretraining
    measures = ({"Loss": "loss", "Contrast accuracy": "contrast_accuracy",
                 "k-NN accuracy": "knn_accuracy", "RankMe": "rankme"} if pretraining else
                {"Test accuracy": "test_accuracy", BALANCED: "test_balanced_accuracy",
                 MACRO_F1: "test_macro_f1", "Validation accuracy": "val_accuracy"})
    shown = FIRST[pretraining]
    columns = apart(results, shown)
    columns.pop("epochs", None)  # in a column of its own
    lines = []
    for place, result in enumerate(results):
        values = record(result)
        found = {name: result.measure(column) for name, column in measures.items()}
        told = ", ".join(getattr(result.setting, name) for name in shown)
        line = {first: labels[place] if labels else told}
        line.update((heading(name), texts[place]) for name, texts in columns.items())
        for name, measure in found.items():
            line[name] = mean_std_text(measure, 0 if name == "RankMe" else 4)
            if any(r.pretrainings > 1 for r in results):
                line[f"{name}, ± over pre-trainings"] = (
                    "-" if measure.between is None else f"{measure.between:.4f}")
        penalties = " penalties" * (result.setting.optimizer == "lbfgs")
        line.update({"Epochs": f"{values['epochs_done']}/{values['epochs_planned']}{penalties}",
                     "Seeds": f"{result.seeds}"})
        if any(r.pretrainings > 1 for r in results):
            line["Pre-trainings"] = f"{result.pretrainings or '-'}"
        lines.append({**line, "Time per run": clock(values["seconds_per_run"]),
                      "Status": result.status})
    return without_same(lines)


def without_same(lines):
    """Lines without the columns of epochs, where all are done and as many, of contrast accuracy and
    RankMe where there is none, and of means over classes where these are equally frequent: the balanced
    accuracy is the accuracy there."""
    dull = [name for name, empty in (("Contrast accuracy", {"-"}), ("Epochs", None))
            if name in lines[0] and ({line[name] for line in lines} == empty or empty is None and (
                len({line[name] for line in lines}) == 1
                and len(set(lines[0][name].split("/"))) == 1))]
    if all(line.get("RankMe", "-") == "-" for line in lines):
        dull += [name for name in lines[0] if name.startswith("RankMe")]
    if all(line.get(BALANCED, "-") in ("-", line.get("Test accuracy")) for line in lines):
        dull += [name for name in lines[0] if name.startswith((BALANCED, MACRO_F1))]
    return [{name: line[name] for name in line if name not in dull} for line in lines]


def layout(results):
    """Results, best test accuracy first, as a Markdown table that is readable as plain text, below
    a line on what they share, above lines on copies of images."""
    results = sorted(results, key=order)
    parts = [common(results), markdown(cells(results)), *copy_notes(results)]
    return "\n\n".join(filter(None, parts))


def common(results):
    """A line on what all these results share and their table does not tell; maybe ""."""
    return plain(shared(results, apart(results, FIRST[results[0].setting.pretraining])))


def copy_notes(results):
    """Lines on images that are in two parts of a run: whose, how many, in which rows."""
    names, notes = names_of(results), []
    for part, (kind, other) in COPIES.items():
        by_count = {}
        for name, result in zip(names, results):
            counts = copies(result, part)
            if None in counts:
                by_count.setdefault("", []).append(name)
            elif max(counts, default=0):
                number = f"{'up to ' * (len(counts) > 1)}{max(counts)}"
                by_count.setdefault(number, []).append(name)
        for number, rows in by_count.items():
            said = (f"Copies: {number} {kind} images are exact copies of {other} images" if number
                    else f"Copies: whether {kind} images are among the {other} images is not known")
            more = f" and {len(rows) - MOST_NAMES} more" * (len(rows) > MOST_NAMES)
            notes.append(plain(f"{said}: {'; '.join(rows[:MOST_NAMES])}{more}."))
    return sorted(notes, key=lambda note: note.startswith("Copies: whether"))


def markdown(rows):
    """Dicts heading -> text as a Markdown table in columns; names in them stay plain text."""
    rows = [{plain(name): plain(text) for name, text in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [{name: name for name in widths}, {name: "-" * widths[name] for name in widths}, *rows]
    return "\n".join("| " + " | ".join(line[name].ljust(widths[name]) for name in widths) + " |"
                     for line in lines)


def plain(text):
    """A text in one line, in which Markdown sees neither a cell's end nor a tag."""
    return printable(text).replace("|", r"\|").replace("<", r"\<")


def link(name, text=None, folder=""):
    """The Markdown of a figure. Args: name: without its ending. text: shown where it is not."""
    place = quote(name, errors="surrogateescape")
    return f"![{plain(text or name)}]({folder}{place}.png)"


def method_name(results):
    """One method's name in one line."""
    return label_of(results).replace("\n", " ")


def chosen(results):
    """The setting of one method that is best on validation, or None."""
    return next(iter(best_of(results).values()), None)


def best_cell(results):
    """Test accuracy and number of seeds at the setting best on validation, as text."""
    best = chosen(results)
    if best is None:
        lost = results and all(result.status.startswith("diverged") for result in results)
        return "diverged" if lost else "not chosen" if results else "-"
    seeds, before, runs = best.seeds, best.pretrainings, len(best.counted)
    runs = before if best.setting.solved else runs
    if before > 1:
        seeds = f"{before} x {seeds}" if runs == before * seeds else f"{runs} on {before}"
    return f"{mean_std_text(best.test._replace(std=best.test.bar))} ({seeds})" + "*" * is_partial(best)


def cross_table(results, column):
    """A Markdown table: a line per method, test accuracies by one column of its settings.

    Args: column: "ratio", or "labels", which tells the sampling ratios of its cells, too.
    """
    def value_of(result):
        return getattr(result.setting, column)

    values = sorted({value_of(result) for result in results}, key=lambda v: (v is not None, v or 0))
    rows = []
    for group in methods(results).values():
        parts = [[result for result in group if value_of(result) == value] for value in values]
        cells = dict(zip(("none" if value is None else f"{value:g}" for value in values),
                         map(best_cell, parts)))
        if column != "ratio":
            cells["Sampling ratio"] = ratios_text([chosen(part) for part in parts if part])
        rows.append({"Method": method_name(group), **cells})
    return markdown(rows)


def ratios_text(results):
    """The sampling ratio of these results, or all of them where they differ; None: not chosen."""
    texts = ["-" if result is None else ratio_text(result.setting) for result in results]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)
