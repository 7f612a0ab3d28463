"""How the figures of a report look; matplotlib loads on use."""

from conf.global_settings import PRETRAINING_DATA
from conf.methods import MODEL_TYPES, Look
from records.names import short
from records.selection import best_of
from records.setting import BEHIND, DIGEST_SIGNS

LOOKS = {name: kind.look for name, kind in MODEL_TYPES.items()}
STYLE = {"font.size": 8, "axes.titlesize": 8, "figure.titlesize": 9, "axes.spines.top": False,
         "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True,
         "grid.color": "0.87", "grid.linewidth": 0.6, "hatch.linewidth": 0.6,
         "legend.frameon": False, "legend.title_fontsize": 7, "legend.handlelength": 3.4,
         "lines.linewidth": 1.4, "lines.markersize": 4.5, "lines.markeredgecolor": "black",
         "lines.markeredgewidth": 0.5, "text.parse_math": False,  # names hold dollars
         "svg.hashsalt": "report"}  # makes an SVG's ids reproducible
WIDTH = 6.8  # inches: the text width of a two-column paper
DPI = 300
TITLE_SIGNS, NAME_SIGNS = 100, 40  # of a figure's title, and of a name in its labels


def look_of(model_type):
    """The Look of a method; one that LOOKS does not know is black under its own name."""
    return LOOKS.get(model_type) or Look(short(model_type, NAME_SIGNS), "#000000", "++", "P",
                                         (0, (1, 1)))


def repeats(results):
    """How often the model type of each result was there before: with another stem, or other weights,
    it has the same look otherwise."""
    kinds = [result.setting.model_type for result in results]
    return [kinds[:place].count(kind) for place, kind in enumerate(kinds)]


def is_partial(result):
    return result.status.startswith("unfinished")


def from_imagenet(result):
    """Whether a method starts from ImageNet weights: its YAML says so or, an older one, names no
    checkpoint though the method can have one."""
    setting = result.setting
    return setting.told("weights") == "imagenet" or bool(look_of(setting.model_type).imagenet) and (
        setting.told("record") == "flags" and setting.told("pretrained_model_path") == "none")


def other_source(setting):
    """The dataset of the pre-training where it is not the usual one, else ""."""
    return "" if setting.source in (None, PRETRAINING_DATA) else setting.source


def ratio_text(setting):
    """The pre-training sample ratio: `0.1`, `0.1 of stl10` for an unusual dataset, or `-`."""
    if setting.ratio is None:
        return "-"
    source = other_source(setting)
    return f"{setting.ratio:.15g}" + f" of {source}" * bool(source)


def behind(result):
    """What the pre-training of a method started from itself, in words; "" for nothing."""
    told = result.setting.told(f"{BEHIND}weights")
    return {None: "", "imagenet": "ImageNet", "run": "an earlier training"}.get(
        told, "other weights")


def free_stem(setting):
    """The stem of a network that starts from no weights, None where that is not known: which one a
    network from weights has is theirs to say."""
    kind = MODEL_TYPES.get(setting.model_type)
    return setting.told("stem") if kind is not None and not kind.pretraining else None


def other_stem(setting):
    """As `free_stem`, "" where it is the usual one."""
    return "7x7" if free_stem(setting) == "7x7" else ""


def other_weights(setting):
    """Whose weights a method starts from, in a word or two, where it is not the usual pre-training of
    the suite: another way to pre-train, or a file; "" else."""
    kind, told = MODEL_TYPES.get(setting.model_type), setting.told(f"{BEHIND}model_type")
    if setting.told("weights") == "file":
        return f"weights {(setting.told('weights digest') or '')[:DIGEST_SIGNS]}"
    return told if told and kind and told != kind.pretraining else ""


def method_of(result):
    """What sets methods apart: (model type, from ImageNet weights, other dataset or "", as of
    `behind`, as of `other_stem`, as of `other_weights`)."""
    return (result.setting.model_type, from_imagenet(result), other_source(result.setting),
            behind(result), other_stem(result.setting), other_weights(result.setting))


def methods(results):
    """{as of method_of: its results}, in the order of LOOKS."""
    found = {}
    for result in results:
        found.setdefault(method_of(result), []).append(result)
    return dict(sorted(found.items(), key=lambda item: ([*LOOKS, item[0][0]].index(item[0][0]),
                                                        item[0])))


def bests(results):
    """[Result]: of each method its setting best on validation, in the order of `methods`."""
    return [best for group in methods(results).values() for best in best_of(group).values()]


def label_of(results):
    """The label of one method's results, in three lines."""
    _, weights, source, before, stem, whose = method_of(results[0])
    look = look_of(results[0].setting.model_type)
    label = look.imagenet if weights else look.label
    if stem:
        first, *rest = label.split(",", 1)
        label = ",".join([first, f"\n{stem} stem", *rest])
    more = (f" ({short(whose, NAME_SIGNS)})" * bool(whose)
            + f" on {short(source, NAME_SIGNS)}" * bool(source) + f" from {before}" * bool(before))
    return label.replace("pre-training", f"pre-training{more}")


def line_label(results):
    """The label for a legend, with an asterisk where a training it shows is unfinished."""
    return label_of(results).replace("\n", " ") + "*" * any(map(is_partial, results))


def new_axes(height, title, width=WIDTH, **grid):
    """A figure without pyplot's global state, sizes in inches, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(short(title, TITLE_SIGNS))
    return figure, figure.subplots(**grid)


def footnote(results, spread="error bars", notes=()):
    """What the error bars or bands (`spread`) and asterisks of a figure mean, after its notes."""
    notes = [*notes, *["* training unfinished"] * any(map(is_partial, results))]
    if spread and any(result.test.bar for result in results):
        several = any(result.test.between is not None for result in results)
        notes.append(f"{spread}: ± sample standard deviation over seeds"
                     + ", of pre-training where there are several" * several)
    return "; ".join(notes)
