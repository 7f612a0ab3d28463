"""Figures with a line for each method: over sample ratios, label ratios and epochs."""

import math

from records.results import measure_of, written
from records.selection import best_of
from reporting.labels import images_per_class
from reporting.style import bests, footnote, line_label, look_of, method_of, methods, new_axes, repeats

FILLS = "full", "none", "left", "bottom"  # of markers: lines of one model type, other stem or weights


def dashes(look, repeat):
    """The line style of a model type that has been there before so often."""
    return (0, (repeat + 1, 1)) if repeat else look.line


def best_by(results, value_of):
    """[{value: its setting best on validation}] of each method that has two values.

    Args: value_of: Result -> number or None.
    """
    lines = []
    for group in methods(results).values():
        found = {value: best_of([r for r in group if value_of(r) == value]).values()
                 for value in sorted({value_of(result) for result in group} - {None})}
        lines.append({value: best for value, bests in found.items() for best in bests
                      if best.test.mean is not None})
    return [line for line in lines if len(line) > 1]


def gap_notes(lines, results, value_of):
    """For the footnote: whether a line has no point at a value because all diverged there."""
    def place(result, value):
        return *method_of(result), value

    shown = {place(result, value) for line in lines for value, result in line.items()}
    gaps = {place(result, value_of(result)) for result in results
            if result.status.startswith("diverged") and value_of(result) is not None} - shown
    return ["no marker: diverged"] * bool(gaps)


def draw_points(title, xlabel, ticks, lines, notes, flat=()):
    """Test accuracy with error bars over a log axis.

    Args: ticks: {value: text}. lines: as of best_by. flat: results that are horizontal lines.
    """
    figure, axes = new_axes(3.3, title)
    for line, repeat in zip(lines, repeats(list(line.values())[0] for line in lines)):
        shown = list(line.values())
        look, means = look_of(shown[0].setting.model_type), [result.test.mean for result in shown]
        axes.plot(list(line), means, color=look.colour, marker=look.marker, linestyle=dashes(look, repeat),
                  fillstyle=FILLS[repeat % len(FILLS)], markerfacecoloralt="white",
                  label=line_label(shown))
        axes.errorbar(list(line), means, [result.test.bar or math.nan for result in shown],
                      fmt="none", ecolor="black", elinewidth=0.8, capsize=5, zorder=1)
    for result, repeat in zip(flat, repeats(flat)):
        look, mean = look_of(result.setting.model_type), result.test.mean
        std = result.test.bar or 0
        axes.axhline(mean, color=look.colour, linestyle=dashes(look, repeat), label=line_label([result]))
        axes.axhspan(mean - std, mean + std, color=look.colour, alpha=0.15,
                     linewidth=0)
    axes.set_xscale("log" if min(ticks) > 0 else "linear")
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel="Test accuracy (fraction)")
    figure.legend(loc="outside lower center", ncols=2,
                  title=footnote([*(result for line in lines for result in line.values()), *flat],
                                 "error bars" + ", bands" * bool(flat), notes))
    return figure


def draw_ratio(results, title):
    """Test accuracy by pre-training sample ratio; None unless a method has two ratios."""
    def value_of(result):
        return result.setting.ratio

    lines = best_by(results, value_of)
    if not lines:
        return None
    drawn = methods(result for line in lines for result in line.values())
    flat = [best for method, group in methods(results).items() if method not in drawn
            for best in best_of([r for r in group if r.setting.ratio is None]).values()
            if best.test.mean is not None]
    ratios = sorted({result.setting.ratio for result in results} - {None})
    return draw_points(f"At each ratio, the setting best on validation, {title}",
                       "Pre-training sample ratio (fraction of the images)",
                       {ratio: f"{ratio:g}" for ratio in ratios}, lines,
                       gap_notes(lines, results, value_of), flat)


def draw_labels(results, title):
    """Test accuracy by label ratio; None unless a method has two ratios."""
    def value_of(result):
        return result.setting.labels

    lines = best_by(results, value_of)
    ticks = {value: f"{value:g}" for value in sorted({value for line in lines for value in line})}
    if not lines:
        return None
    counts = {value: images_per_class([line[value] for line in lines if value in line])
              for value in ticks}
    if None not in counts.values():
        ticks = {value: f"{text}\n{counts[value]} a class" for value, text in ticks.items()}
    return draw_points(f"At each label ratio, the setting best on validation, {title}",
                       "Label ratio (fraction of the labelled training images)", ticks, lines,
                       gap_notes(lines, results, value_of))


def curve(result, column):
    """(epochs, means, deviations) of one column over the epochs that every seed has."""
    by_run = [{row["epoch"]: row[column] for row in run.rows if written([row], column)}
              for run, _ in result.counted]
    epochs = sorted(set.intersection(*map(set, by_run)))
    groups = {}
    for (run, _), found in zip(result.counted, by_run):
        groups.setdefault(run.behind, []).append(found)
    measures = [measure_of([[found[epoch] for found in group] for group in groups.values()])
                for epoch in epochs]
    return epochs, [found.mean for found in measures], [found.bar or 0 for found in measures]


def draw_curves(results, title):
    """Accuracy by epoch, a line per method at its best; None if no line has two epochs."""
    best = bests(results)
    column, word = (("val_accuracy", "Validation") if all(r.val.mean is not None for r in best)
                    else ("test_accuracy", "Test"))
    lines = [(line_label([result]), look_of(result.setting.model_type), curve(result, column))
             for result in best]
    if not any(len(epochs) > 1 for *_, (epochs, *_) in lines):
        return None
    figure, axes = new_axes(3.4, f"Learning curves at the setting best on validation, {title}")
    for (label, look, (epochs, means, deviations)), repeat in zip(lines, repeats(best)):
        axes.plot(epochs, means, color=look.colour, linestyle=dashes(look, repeat), marker=look.marker,
                  fillstyle=FILLS[repeat % len(FILLS)], markerfacecoloralt="white",
                  markevery=max(1, len(epochs) // 10), label=label)
        axes.fill_between(epochs, [m - d for m, d in zip(means, deviations)],
                          [m + d for m, d in zip(means, deviations)],
                          color=look.colour, alpha=0.2, linewidth=0)
    solved = any(result.setting.optimizer == "lbfgs" for result in best)
    axes.set(xlabel="Epoch" + " (of lbfgs: penalty)" * solved, ylabel=f"{word} accuracy (fraction)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncols=2,
                  title=footnote(best, "bands"))
    return figure
