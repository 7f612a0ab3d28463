"""The tables of a report: results as lines of results.csv and of Markdown."""

import math
import re
import statistics
from urllib.parse import quote

from records.names import printable
from records.results import best_of, mean_std, written
from reporting.style import is_partial, label_of, look_of, methods, other_source, ratio_text

SELECTION = ("The test accuracy is that of the epoch with the best validation accuracy, or of the "
             "last epoch where no validation accuracy was written. Nothing is chosen on the test "
             "set. Accuracies are fractions; ± is the sample standard deviation over seeds of "
             "training, within each pre-training where there are several; between these it has a "
             "column of its own.")
CROSS_NOTE = ("In tables by ratio, a cell is the test accuracy of its setting best on validation, "
              "the number of seeds in brackets; * marks unfinished training.")


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
            "batch_size": setting.batch_size, "pretraining_data": setting.source,
            "pretraining_sample_ratio": setting.ratio,
            "test_accuracy": result.test[0], "test_accuracy_std": result.test[1],
            "test_accuracy_std_between_pretrainings": result.between,
            "test_top5_accuracy": mean_std(written(result.chosen, "test_top5_accuracy"))[0],
            "val_accuracy": result.val[0], "val_accuracy_std": result.val[1],
            "chosen_epochs": " ".join(str(row["epoch"]) for row in result.chosen),
            "epochs_done": behind.rows[-1]["epoch"], "epochs_planned": behind.planned,
            "seeds": result.seeds, "pretraining_seeds": result.pretrainings,
            "seconds_per_run": round(statistics.fmean(seconds), 1),
            "status": result.status}


def mean_std_text(mean, std):
    """`0.6321 ± 0.0042`, without a deviation `0.6321`, without a mean `-`."""
    return "-" if mean is None else f"{mean:.4f}" + (f" ± {std:.4f}" if std is not None else "")


def clock(seconds):
    """`1:05:00` of so many seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def cells(result):
    """One line of the printed table: a dict heading -> text."""
    values, setting = record(result), result.setting
    data = f", {setting.data}" if setting.pretraining else ""
    measures = ({"Loss": "loss", "Contrast accuracy": "contrast_accuracy",
                 "k-NN accuracy": "knn_accuracy"} if setting.pretraining else
                {"Test accuracy": "test_accuracy", "Validation accuracy": "val_accuracy"})
    return {"Setting": setting.model_type + data, "Optimizer": setting.optimizer,
            "Learning rate": f"{setting.lr:g}", "Batch size": f"{setting.batch_size}",
            "Pre-training sample ratio": ratio_text(setting),
            **{heading: mean_std_text(*mean_std(written(result.chosen, name)))
               for heading, name in measures.items()},
            **({"Between pre-trainings": f"± {result.between:.4f}"} if result.between is not None
               else {}),
            "Epochs": f"{values['epochs_done']}/{values['epochs_planned']}",
            "Seeds": f"{values['seeds']}" + (f" x {result.pretrainings} pre-trainings"
                                             if result.pretrainings > 1 else ""),
            "Time per run": clock(values["seconds_per_run"]),
            "Status": result.status}


def layout(results):
    """Results, best test accuracy first, as a Markdown table that is readable as plain text, with
    a column for each setting that differs among rows that would else look alike."""
    results = sorted(results, key=order)
    return markdown([{**cells(result), **more}
                     for result, more in zip(results, varying(results))])


def varying(results):
    """Of each result, a dict heading -> text of what differs in `Setting.rest` among those of its
    method, and is not said by another column."""
    names = []
    for result in results:
        for other in results:
            if other.setting.model_type == result.setting.model_type:
                names += [name for name, _ in set(result.setting.rest) ^ set(other.setting.rest)]
    names = [name for name in dict.fromkeys(sorted(names)) if name not in UNSAID]
    return [{heading(name): shown(result.setting.varied(name)) for name in names}
            for result in results]


UNSAID = ("epochs", "warmup_epochs", "pre-training data")  # what other columns say


def heading(name):
    """A setting as the heading of a column."""
    return name[:1].upper() + name[1:].replace("_", " ")


def shown(value):
    """A setting's JSON as text: of a digest its first digits."""
    text = "-" if value in (None, "null") else value.strip('"')
    return text[:8] if re.fullmatch("[0-9a-f]{32}", text) else text


def markdown(rows):
    """Dicts heading -> text as a Markdown table in columns, `-` where a row lacks one; names in
    them stay plain text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    rows = [{plain(name): plain(row.get(name, "-")) for name in names} for row in rows]
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
    """One method's name in one line; with labels it says on which images it was pre-trained."""
    name = label_of(results).replace("\n", " ")
    own = all(result.setting.ratio is not None for result in results)
    own = own and not other_source(results[0].setting)  # which the label says
    if look_of(results[0].setting.model_type).imagenet and own:
        return name.replace("pre-training", "pre-training on the same images")
    return name


def chosen(results):
    """The setting of one method that is best on validation, or None."""
    return next(iter(best_of(results).values()), None)


def best_cell(results):
    """Test accuracy and number of seeds at the setting best on validation, as text."""
    best = chosen(results)
    if best is None:
        lost = results and all(result.status.startswith("diverged") for result in results)
        return "diverged" if lost else "not chosen" if results else "-"
    seeds = len({run.seed for run in best.runs})
    return f"{mean_std_text(*best.test)} ({seeds})" + "*" * is_partial(best)


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
