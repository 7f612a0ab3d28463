"""Choose the best settings by validation and draw the report's figures; matplotlib loads on use."""

import math
import statistics
from typing import NamedTuple


class Look(NamedTuple):
    """How one method is drawn; hatch, marker and line keep it apart in grey."""
    label: str
    colour: str
    hatch: str
    marker: str
    line: object


# Colours: Okabe & Ito 2008, "Color Universal Design"; the lighter one of a pair is fine-tuned.
LOOKS = {
    "SelfSupervisedPretrained":
        Look("Self-supervised\npre-training,\nlinear", "#0072B2", "//", "o", "-"),
    "SelfSupervisedPretrainedFinetune":
        Look("Self-supervised\npre-training,\nfine-tuned", "#56B4E9", "\\\\", "s", "--"),
    "SupervisedPretrained":
        Look("Supervised\npre-training,\nlinear", "#D55E00", "xx", "^", "-."),
    "SupervisedPretrainedFinetune":
        Look("Supervised\npre-training,\nfine-tuned", "#E69F00", "..", "D", ":"),
    "Supervised": Look("Supervised\nfrom scratch", "#009E73", "", "v", (0, (6, 1, 1, 1, 1, 1))),
}
STYLE = {"font.family": "DejaVu Sans", "font.size": 8, "axes.spines.top": False,
         "axes.spines.right": False, "axes.axisbelow": True, "hatch.linewidth": 0.6,
         "legend.frameon": False, "lines.linewidth": 1.4, "lines.markersize": 4.5,
         "svg.hashsalt": "report"}  # a fixed salt makes the ids in an SVG the same every time
WIDTH = 6.8  # inches: the text width of a two-column paper
DPI = 300


def written(rows, name):
    """The finite numbers of one column; cells that are empty or NaN are left out."""
    return [row[name] for row in rows if row.get(name) is not None and math.isfinite(row[name])]


def mean_std(values):
    """(mean, sample standard deviation); each None where there are too few values."""
    return (statistics.fmean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None)


def best_of(results):
    """{model type: its Result with the best validation accuracy}, diverged ones left out.

    A method without validation accuracies has a best only if it has a single setting.
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

def look_of(model_type):
    """The Look of a method; one that LOOKS does not know is black under its own name."""
    return LOOKS.get(model_type) or Look(model_type, "#000000", "++", "P", (0, (1, 1)))


def in_order(best):
    """The (model type, Result) pairs of a dict, in the order of LOOKS, unknown methods last."""
    known = list(LOOKS)
    return sorted(best.items(), key=lambda item: (known.index(item[0]) if item[0] in known
                                                  else len(known), item[0]))


def is_partial(result):
    return result.status.startswith("unfinished")


def new_axes(height, title, **grid):
    """A figure WIDTH wide without pyplot's global state, and its axes as matplotlib gives them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    return figure, figure.subplots(**grid)


def setting_text(setting):
    """Optimizer, learning rate, batch size and sample ratio in short lines under a bar."""
    lines = [f"{setting.optimizer}, lr {setting.lr:g}", f"batch {setting.batch_size}"]
    return "\n".join(lines + ([f"ratio {setting.ratio:g}"] if setting.ratio is not None else []))


def draw_best(results, title):
    """Bars of test accuracy, one per method at its best setting; None if no method has one."""
    bars = [(name, result) for name, result in in_order(best_of(results))
            if result.test[0] is not None]
    if not bars:
        return None
    figure, axes = new_axes(3.4, f"Test accuracy at the setting best on validation, {title}")
    for place, (name, result) in enumerate(bars):
        look, (mean, std) = look_of(name), result.test
        axes.bar(place, mean, 0.66, color=look.colour, hatch=look.hatch, edgecolor="black",
                 linewidth=0.8, yerr=std, error_kw={"capsize": 4, "elinewidth": 1})
        axes.annotate(f"{mean:.3f}" + ("*" if is_partial(result) else ""),
                      (place, mean + (std or 0)), (0, 4), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(bars)), [
        f"{look_of(name).label}\n\n{setting_text(result.setting)}\n"
        f"{len(result.runs)} seed{'s' * (len(result.runs) > 1)}" for name, result in bars])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("Test accuracy (fraction)")
    axes.margins(y=0.12)
    axes.grid(axis="y", color="0.85", linewidth=0.6)
    add_footnote(figure, [result for _, result in bars])
    return figure


def add_footnote(figure, results):
    """Say below a figure what its bars of error and its asterisks mean, if it has any."""
    notes = ["error bars: ± sample standard deviation over seeds"] * any(r.test[1] for r in results)
    notes += ["* training unfinished"] * any(map(is_partial, results))
    if notes:
        figure.supxlabel("; ".join(notes), fontsize=7)


def grid_panels(results):
    """[(optimizer, ratio, {(lr, batch size): Result})] of the grids with 2 x 2 values or more."""
    panels = {}
    for result in results:
        setting = result.setting
        cells = panels.setdefault((setting.ratio or 0, setting.optimizer, setting.ratio), {})
        cells[setting.lr, setting.batch_size] = result
    return [(optimizer, ratio, cells)
            for (_, optimizer, ratio), cells in sorted(panels.items(), key=lambda item: item[0][:2])
            if min(len({key[axis] for key in cells}) for axis in (0, 1)) >= 2]


def draw_heatmap(results, title):
    """Learning rate by batch size, a panel for each optimizer and sample ratio of one method.

    The colour is the validation accuracy, or the test accuracy if a setting has no other.
    """
    from matplotlib.colors import Normalize
    from matplotlib.cm import ScalarMappable
    panels = grid_panels(results)
    if not panels:
        return None
    shown = [result for *_, cells in panels for result in cells.values()]
    kind = "val" if all(r.val[0] is not None for r in shown if r.chosen) else "test"
    values = [getattr(r, kind)[0] for r in shown if getattr(r, kind)[0] is not None]
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    lines = max(len({lr for lr, _ in cells}) for *_, cells in panels)
    figure, grid = new_axes(0.9 + rows * (0.75 + 0.33 * lines), title, nrows=rows, ncols=columns,
                            squeeze=False)
    colours = ScalarMappable(Normalize(min(values, default=0), max(values, default=1)), "cividis")
    best = best_of(results).values() if kind == "val" else ()
    for axes, panel in zip(grid.flat, panels):
        draw_panel(axes, panel, kind, colours, best)
    for axes in list(grid.flat)[len(panels):]:
        axes.set_axis_off()
    word = {"val": "Validation", "test": "Test"}[kind]
    figure.colorbar(colours, ax=grid, label=f"{word} accuracy (fraction)", pad=0.02)
    notes = (["frame: best on validation"] * bool(best) + ["* training unfinished"]
             * any(map(is_partial, shown)) + ["hatched: diverged"]
             * any(r.status.startswith("diverged") for r in shown))
    figure.supxlabel("; ".join(notes), fontsize=7)
    return figure


def draw_panel(axes, panel, kind, colours, best):
    """One heat map: cells with their value, hatched where diverged, empty where there is no run."""
    from matplotlib.patches import Rectangle
    optimizer, ratio, cells = panel
    rates, sizes = (sorted({key[axis] for key in cells}) for axis in (0, 1))
    for (lr, batch_size), result in cells.items():
        x, y, value = sizes.index(batch_size), rates.index(lr), getattr(result, kind)[0]
        lost = value is None or result.status.startswith("diverged")
        red, green, blue, _ = (1, 1, 1, 1) if lost else colours.to_rgba(value)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=(red, green, blue),
                                 edgecolor="0.6" if lost else "white", linewidth=0.5,
                                 hatch="////" if lost else None))
        if not lost:
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # luma, ITU-R BT.601
            axes.text(x, y, f"{value:.3f}" + "*" * is_partial(result), ha="center", va="center",
                      color="white" if dark else "black")
        if any(result is winner for winner in best):
            axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, linewidth=2.2,
                                     edgecolor="black", zorder=3))
    axes.set(xlim=(-0.5, len(sizes) - 0.5), ylim=(-0.5, len(rates) - 0.5),
             xlabel="Batch size (images)", ylabel="Learning rate")
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_yticks(range(len(rates)), [f"{lr:g}" for lr in rates])
    axes.set_title(optimizer + (f", sample ratio {ratio:g}" if ratio is not None else ""), fontsize=8)
    axes.tick_params(length=0)


def draw_ratio(results, title):
    """Test accuracy by pre-training sample ratio; None unless a method has two ratios."""
    ratios = sorted({r.setting.ratio for r in results if r.setting.ratio is not None})
    lines = {}
    for ratio in ratios:
        subset = [result for result in results if result.setting.ratio == ratio]
        for name, result in best_of(subset).items():
            if result.test[0] is not None:
                lines.setdefault(name, []).append(result)
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    figure, axes = new_axes(3.3, f"Each point: the setting best on validation, {title}")
    for name, points in in_order(lines):
        look = look_of(name)
        axes.errorbar([r.setting.ratio for r in points], [r.test[0] for r in points],
                      [r.test[1] or 0 for r in points], color=look.colour, marker=look.marker,
                      linestyle=look.line, markeredgecolor="black", markeredgewidth=0.5, capsize=3,
                      label=look.label.replace("\n", " "))
    others = best_of([result for result in results if result.setting.ratio is None])
    for name, result in in_order(others):
        if name not in lines and result.test[0] is not None:
            axes.axhline(result.test[0], color=look_of(name).colour, linestyle=look_of(name).line,
                         label=look_of(name).label.replace("\n", " "))
    axes.set_xscale("log" if ratios[0] > 0 else "linear")
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.minorticks_off()
    axes.set(xlabel="Pre-training sample ratio (fraction of the images)",
             ylabel="Test accuracy (fraction)")
    axes.grid(color="0.88", linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def curve(result, column):
    """(epochs, means, deviations) of one column over the epochs that every seed has."""
    by_seed = [{row["epoch"]: row[column] for row in run.rows if written([row], column)}
               for run in result.runs]
    epochs = sorted(set.intersection(*map(set, by_seed)))
    pairs = [mean_std([seed[epoch] for seed in by_seed]) for epoch in epochs]
    return epochs, [mean for mean, _ in pairs], [std or 0 for _, std in pairs]


def draw_curves(results, title):
    """Accuracy by epoch, a line per method at its best; None if no line has two epochs."""
    best = in_order(best_of(results))
    column, word = (("val_accuracy", "Validation") if all(r.val[0] is not None for _, r in best)
                    else ("test_accuracy", "Test"))
    lines = [(look_of(name), curve(result, column)) for name, result in best]
    if not any(len(epochs) > 1 for _, (epochs, *_) in lines):
        return None
    figure, axes = new_axes(3.4, f"Learning curves at the setting best on validation, {title}")
    for look, (epochs, means, deviations) in lines:
        axes.plot(epochs, means, color=look.colour, linestyle=look.line, marker=look.marker,
                  markevery=max(1, len(epochs) // 10), markeredgecolor="black",
                  markeredgewidth=0.5, label=look.label.replace("\n", " "))
        axes.fill_between(epochs, [m - d for m, d in zip(means, deviations)],
                          [m + d for m, d in zip(means, deviations)], color=look.colour, alpha=0.2,
                          linewidth=0)
    axes.set(xlabel="Epoch", ylabel=f"{word} accuracy (fraction)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="0.88", linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def write_all(results, title, folder, suffix=""):
    """Draw one dataset's figures as PNG and SVG, the same bytes for the same results.

    Args: results: sequence of Result, in table order; title: names the dataset in the figures;
        folder: existing Path; suffix: ends every file name.
    Returns: the names written, without ending; a figure with nothing to show is not written, and
        an older one of its name is removed.
    """
    import matplotlib
    names = []
    draws = {"best": lambda: draw_best(results, title), "ratio": lambda: draw_ratio(results, title),
             "curves": lambda: draw_curves(results, title)}
    for model_type in sorted({result.setting.model_type for result in results}):
        part = [result for result in results if result.setting.model_type == model_type]
        draws[f"heatmap_{model_type}"] = lambda part=part, model_type=model_type: draw_heatmap(
            part, f"{look_of(model_type).label} on {title}".replace("\n", " "))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for name, draw in draws.items():
            figure = draw()
            if figure:
                names.append(name + suffix)
            for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                path = folder / f"{name}{suffix}.{ending}"
                if figure:
                    figure.savefig(path, metadata=metadata)
                else:
                    path.unlink(missing_ok=True)
    return names
