"""Draw the figures of a report; matplotlib loads on use."""

import math
from typing import NamedTuple

from files import whole
from results import best_of, mean_std, written


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
STYLE = {"font.size": 8, "axes.titlesize": 8, "figure.titlesize": 9, "axes.spines.top": False,
         "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True,
         "grid.color": "0.87", "grid.linewidth": 0.6, "hatch.linewidth": 0.6,
         "legend.frameon": False, "legend.title_fontsize": 7, "legend.handlelength": 3.4,
         "lines.linewidth": 1.4, "lines.markersize": 4.5, "lines.markeredgecolor": "black",
         "lines.markeredgewidth": 0.5, "svg.hashsalt": "report"}  # makes an SVG's ids reproducible
WIDTH = 6.8  # inches: the text width of a two-column paper
DPI = 300


def look_of(model_type):
    """The Look of a method; one that LOOKS does not know is black under its own name."""
    return LOOKS.get(model_type) or Look(model_type, "#000000", "++", "P", (0, (1, 1)))


def in_order(best):
    """The (model type, Result) pairs of a dict, in the order of LOOKS, unknown methods last."""
    return sorted(best.items(), key=lambda item: [*LOOKS, item[0]].index(item[0]))


def is_partial(result):
    return result.status.startswith("unfinished")


def line_label(model_type, results):
    """A method's label for a legend, with an asterisk where a training it shows is unfinished."""
    return look_of(model_type).label.replace("\n", " ") + "*" * any(map(is_partial, results))


def is_lost(result, kind):
    return result.status.startswith("diverged") or getattr(result, kind)[0] is None


def new_axes(height, title, width=WIDTH, **grid):
    """A figure without pyplot's global state, sizes in inches, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure, figure.subplots(**grid)


def bar_label(model_type, result):
    """A method, padded to three lines, and below it its setting."""
    label, setting = look_of(model_type).label, result.setting
    ratio = "" if setting.ratio is None else f"\nratio {setting.ratio:g}"
    return (label + "\n" * (4 - label.count("\n")) + f"{setting.optimizer}, lr {setting.lr:g}\n"
            f"batch {setting.batch_size}\nseeds {len(result.runs)}" + ratio)


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
                 linewidth=0.8, yerr=std, error_kw={"capsize": 4, "capthick": 1})
        axes.annotate(f"{mean:.3f}" + ("*" if is_partial(result) else ""),
                      (place, mean + (std or 0)), (0, 4), textcoords="offset points", ha="center",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    axes.set_xticks(range(len(bars)), [bar_label(name, result) for name, result in bars])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("Test accuracy (fraction)")
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
    figure.supxlabel(footnote([result for _, result in bars]), fontsize=7)
    return figure


def footnote(results, spread="error bars", notes=()):
    """What the error bars or bands (`spread`) and asterisks of a figure mean, after its notes."""
    notes = [*notes, *["* training unfinished"] * any(map(is_partial, results))]
    if spread and any(result.test[1] for result in results):
        notes.append(f"{spread}: ± sample standard deviation over seeds")
    return "; ".join(notes)


def grid_panels(results):
    """[(optimizer, ratio, {(lr, batch size): Result})] of the grids with 2 x 2 values or more."""
    panels = {}
    for result in results:
        setting = result.setting
        key = setting.ratio or 0, setting.optimizer, setting.ratio
        panels.setdefault(key, {})[setting.lr, setting.batch_size] = result
    return [(optimizer, ratio, cells)
            for (_, optimizer, ratio), cells in sorted(panels.items(), key=lambda item: item[0][:2])
            if min(len({key[axis] for key in cells}) for axis in (0, 1)) >= 2]


def draw_heatmap(results, title):
    """Validation accuracy (test if some have none) by learning rate and batch size, in panels."""
    from matplotlib.colors import Normalize
    from matplotlib.cm import ScalarMappable
    panels = grid_panels(results)
    if not panels:
        return None
    shown = [result for *_, cells in panels for result in cells.values()]
    kind = "val" if all(r.val[0] is not None for r in shown if r.chosen) else "test"
    values = [getattr(r, kind)[0] for r in shown if not is_lost(r, kind)]
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    height = 0.9 + rows * (0.75 + 0.33 * max(len({lr for lr, _ in cells}) for *_, cells in panels))
    figure, grid = new_axes(height, title, WIDTH * (0.2 + 0.4 * columns), nrows=rows, ncols=columns,
                            squeeze=False)
    colours = ScalarMappable(Normalize(min(values, default=0), max(values, default=1)), "cividis")
    best = best_of(results).values() if kind == "val" else ()
    for axes, panel in zip(grid.flat, panels):
        draw_panel(axes, panel, kind, colours, best)
    for axes in grid.flat[len(panels):]:
        axes.set_axis_off()
    word = {"val": "Validation", "test": "Test"}[kind]
    figure.colorbar(colours, ax=grid, label=f"{word} accuracy (fraction)", aspect=18 * rows)
    figure.supxlabel(footnote(shown, None, ["frame: best on validation"] * bool(best) + [
        "hatched: diverged or no value"] * any(is_lost(r, kind) for r in shown)), fontsize=7)
    return figure


def draw_panel(axes, panel, kind, colours, best):
    """One heat map: cells with their value, hatched where diverged, empty where there is no run."""
    from matplotlib.patches import Rectangle
    optimizer, ratio, cells = panel
    rates, sizes = (sorted({key[axis] for key in cells}) for axis in (0, 1))
    for (lr, batch_size), result in cells.items():
        x, y, value = sizes.index(batch_size), rates.index(lr), getattr(result, kind)[0]
        lost = is_lost(result, kind)
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
    axes.set_title(optimizer + (f", sample ratio {ratio:g}" if ratio is not None else ""))
    axes.tick_params(length=0)
    axes.grid(visible=False)


def draw_ratio(results, title):
    """Test accuracy by pre-training sample ratio; None unless a method has two ratios."""
    ratios = sorted({r.setting.ratio for r in results if r.setting.ratio is not None})
    lines = {}
    for ratio in ratios:
        for name, result in best_of([r for r in results if r.setting.ratio == ratio]).items():
            if result.test[0] is not None:
                lines.setdefault(name, []).append(result)
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    figure, axes = new_axes(3.3, f"At each ratio, the setting best on validation, {title}")
    for name, points in in_order(lines):
        look = look_of(name)
        where, means = [r.setting.ratio for r in points], [r.test[0] for r in points]
        axes.plot(where, means, color=look.colour, marker=look.marker, linestyle=look.line,
                  label=line_label(name, points))
        axes.errorbar(where, means, [r.test[1] or math.nan for r in points], fmt="none",
                      ecolor="black", elinewidth=0.8, capsize=5, zorder=1)
    others = best_of([r for r in results if r.setting.ratio is None
                      and r.setting.model_type not in lines])
    for name, result in in_order(others):
        if result.test[0] is not None:
            axes.axhline(result.test[0], color=look_of(name).colour, linestyle=look_of(name).line,
                         label=line_label(name, [result]))
    axes.set_xscale("log" if ratios[0] > 0 else "linear")
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.minorticks_off()
    axes.set(xlabel="Pre-training sample ratio (fraction of the images)",
             ylabel="Test accuracy (fraction)")
    figure.legend(loc="outside lower center", ncols=2,
                  title=footnote([*sum(lines.values(), []), *others.values()]))
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
    lines = [(line_label(name, [result]), look_of(name), curve(result, column))
             for name, result in best]
    if not any(len(epochs) > 1 for *_, (epochs, *_) in lines):
        return None
    figure, axes = new_axes(3.4, f"Learning curves at the setting best on validation, {title}")
    for label, look, (epochs, means, deviations) in lines:
        axes.plot(epochs, means, color=look.colour, linestyle=look.line, marker=look.marker,
                  markevery=max(1, len(epochs) // 10), label=label)
        axes.fill_between(epochs, [m - d for m, d in zip(means, deviations)],
                          [m + d for m, d in zip(means, deviations)],
                          color=look.colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="Epoch", ylabel=f"{word} accuracy (fraction)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncols=2,
                  title=footnote([result for _, result in best], "bands"))
    return figure


def write_all(results, title, folder, suffix=""):
    """Draw one dataset's figures as PNG and SVG, the same bytes for the same results.

    Returns: the names written, without ending. Where a figure has nothing to show, an older one
        of its name is removed.
    """
    import matplotlib
    names, tasks = [], [
        ("best", draw_best, results, title), ("ratio", draw_ratio, results, title),
        ("curves", draw_curves, results, title)]
    for model_type in sorted({result.setting.model_type for result in results}):
        part = [result for result in results if result.setting.model_type == model_type]
        tasks.append((f"heatmap_{model_type}", draw_heatmap, part,
                      f"{title}: {line_label(model_type, ())}"))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for name, draw, part, heading in tasks:
            figure = draw(part, heading)
            for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                path = folder / f"{name}{suffix}.{ending}"
                if figure:
                    with whole(path, "wb") as file:
                        figure.savefig(file, format=ending, metadata=metadata)
                else:
                    path.unlink(missing_ok=True)
            names += [name + suffix] * bool(figure)
    return names
