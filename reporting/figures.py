"""Draw the figures of a report; bars and heat maps are here."""

import math
import textwrap
import warnings

from records.files import whole
from reporting.columns import apart, heading
from reporting.lines import draw_curves, draw_labels, draw_ratio
from reporting.style import (STYLE, WIDTH, bests, footnote, is_partial, label_of, look_of,
                             new_axes, ratio_text, repeats)

PANEL_SIGNS = 48  # of a line of a panel's title


def is_lost(result, kind):
    return result.status.startswith("diverged") or getattr(result, kind).mean is None


def bar_label(result):
    """A method, padded to three lines, and below it its setting."""
    label, setting = label_of([result]).replace("pre-training on ", "pre-training\non "), result.setting
    ratio = "" if setting.ratio is None else f"\nratio {setting.ratio:g}"
    several = f"\n{result.pretrainings} pre-trainings" * (result.pretrainings > 1)  # in a line: labels are side by side
    rate = f", lr {setting.lr:g}\nbatch {setting.batch_size}" if setting.lr is not None else "\n"
    return (label + "\n" * (4 - label.count("\n")) + f"{setting.optimizer}{rate}\n"
            f"seeds {result.seeds}" + ratio + several)


def draw_best(results, title):
    """Bars of test accuracy, one per method at its best setting; None if no method has one."""
    bars = [result for result in bests(results) if result.test.mean is not None]
    if not bars:
        return None
    figure, axes = new_axes(3.4, f"Test accuracy at the setting best on validation, {title}")
    for place, (result, repeat) in enumerate(zip(bars, repeats(bars))):
        look, mean, std = look_of(result.setting.model_type), result.test.mean, result.test.bar
        axes.bar(place, mean, 0.66, color=look.colour, hatch=look.hatch + "-" * repeat, edgecolor="black",
                 linewidth=0.8, yerr=std, error_kw={"capsize": 4, "capthick": 1})
        axes.annotate(f"{mean:.3f}" + ("*" if is_partial(result) else ""),
                      (place, mean + (std or 0)), (0, 4), textcoords="offset points", ha="center",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    axes.set_xlim(-0.6, max(len(bars), 3) - 0.4)  # a single bar is no wall
    axes.set_xticks(range(len(bars)), [bar_label(result) for result in bars])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("Test accuracy (fraction)")
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
    figure.supxlabel(footnote(bars), fontsize=7)
    return figure


def grid_panels(results):
    """[(title, {(lr, batch size): Result})] of the grids with 2 x 2 values or more, all else equal
    in each."""
    panels = {}
    for result, rest in zip(results, _rest(results)):
        setting = result.setting
        key = setting.ratio or 0, setting.optimizer, ratio_text(setting), rest
        panels.setdefault(key, {})[setting.lr, setting.batch_size] = result
    panels = [cells for _, cells in sorted(panels.items())
              if min(len({key[axis] for key in cells}) for axis in (0, 1)) >= 2]
    titles = dict(zip((id(result) for cells in panels for result in cells.values()),
                      _rest([result for cells in panels for result in cells.values()])))
    return [(_panel_title(result, titles[id(result)]), cells) for cells in panels
            for result in list(cells.values())[:1]]


def _rest(results):
    """Of each result what sets it apart beyond the axes and the beginning of a panel's title."""
    columns = apart(results, ("model_type", "optimizer", "lr", "batch_size", "sample_ratio"))
    return [tuple(f"{heading(name).lower()} {texts[place]}" for name, texts in columns.items())
            for place in range(len(results))]


def _panel_title(result, rest):
    setting = result.setting
    parts = [setting.optimizer]
    parts += [f"sample ratio {ratio_text(setting)}"] if setting.ratio is not None else []
    return textwrap.fill(", ".join([*parts, *rest]), PANEL_SIGNS)


def draw_heatmap(results, title):
    """Validation accuracy (test if some have none) by learning rate and batch size, in panels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    panels = grid_panels(results)
    if not panels:
        return None
    shown = [result for _, cells in panels for result in cells.values()]
    kind = "val" if all(r.val.mean is not None for r in shown if r.chosen) else "test"
    values = [getattr(r, kind).mean for r in shown if not is_lost(r, kind)]
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    height = 0.9 + rows * (0.75 + 0.33 * max(len({lr for lr, _ in cells}) for _, cells in panels)
                           + 0.14 * max(title.count("\n") for title, _ in panels))
    figure, grid = new_axes(height, title, WIDTH * (0.2 + 0.4 * columns), nrows=rows, ncols=columns,
                            squeeze=False)
    colours = ScalarMappable(Normalize(min(values, default=0), max(values, default=1)), "cividis")
    best = [result for result in bests(results)
            if kind == "val" and any(result is each for each in shown)]
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
    title, cells = panel
    rates, sizes = (sorted({key[axis] for key in cells}) for axis in (0, 1))
    for (lr, batch_size), result in cells.items():
        x, y, value = sizes.index(batch_size), rates.index(lr), getattr(result, kind).mean
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
    axes.set_title(title)
    axes.tick_params(length=0)
    axes.grid(visible=False)


def write_all(results, title, folder, suffix=""):
    """Draw the figures of one dataset and label ratio. Returns: as of `save`."""
    tasks = [("best", draw_best, results, title), ("ratio", draw_ratio, results, title),
             ("curves", draw_curves, results, title)]
    for model_type in sorted({result.setting.model_type for result in results}):
        part = [result for result in results if result.setting.model_type == model_type]
        name = look_of(model_type).label.replace("\n", " ")
        tasks.append((f"heatmap_{model_type}", draw_heatmap, part, f"{title}: {name}"))
    return save([(name + suffix, *task) for name, *task in tasks], folder)


def write_labels(results, title, folder):
    """Draw one dataset's figure over label ratios. Returns: as of `save`."""
    return save([(f"labels_{title}", draw_labels, results, title)], folder)


def save(tasks, folder, endings=("png", "svg")):
    """Draw figures, the same bytes for the same results.

    Args: tasks: (name without ending, function, its results, its title).
    Returns: the names written. Where a figure has nothing to show, an older one of its name is
        removed.
    """
    import matplotlib
    names, metadata = [], {"png": {"Software": None}, "svg": {"Date": None}}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for name, draw, part, heading in tasks:
            figure = draw(part, heading)
            for ending in endings:
                path = folder / f"{name}.{ending}"
                if figure:
                    with whole(path, "wb") as file, warnings.catch_warnings():
                        warnings.filterwarnings("ignore", "Glyph")  # a name's, not in the font
                        figure.savefig(file, format=ending, metadata=metadata[ending])
                else:
                    path.unlink(missing_ok=True)
            names += [name] * bool(figure)
    return names
