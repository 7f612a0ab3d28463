"""What was found, in words and in two tables: which method is better, by how much, how sure that is."""

import math

from conf.methods import MODEL_TYPES
from reporting.comparison import ALPHA, compare, scratches_of
from reporting.limits import left_out, limits
from reporting.paired import LEVEL
from reporting.phrases import listed, minutes, p_value, percent, points, side
from reporting.tables import markdown, plain

SURE = f"{100 * LEVEL:.0f} %"
STARTED = {name for name, kind in MODEL_TYPES.items() if kind.pretraining and not kind.frozen}
HOW = (f"How to read this: a {SURE} interval is where the true difference lies in 95 of 100 such "
       "comparisons, drawn from images of the same kind and, where a method was trained more than once, "
       "from other seeds. A difference counts as shown where that interval leaves out zero and p, the "
       "chance of so large a difference between equal methods, is below "
       f"{ALPHA:g} after Holm's correction for the number of pairs. That no difference was shown does "
       "not mean that there is none: more test images or more seeds may show one. The intervals have "
       "the variances of images and seeds, which are crossed, and a t quantile where seeds are few. p "
       "is the larger of theirs and that of McNemar's test, of several networks the one for clustered "
       "pairs. Minutes are of epochs, without the features that a frozen backbone gives once.")


def answer_parts(results):
    """Markdown of the answer: words on each dataset and label ratio, then their tables. Args:
    results: of trainings, and of the pre-trainings whose minutes shall count."""
    found = compare(results)
    parts = ["## In words"] if found else []
    for comparison in found:
        parts += words(comparison)
    if any(comparison.pairs for comparison in found):
        parts.append(HOW)
    for comparison in found:
        if comparison.pairs:
            parts += [f"### Pair by pair: {plain(comparison.task.title)}", pairs_table(comparison),
                      methods_table(comparison)]
    return parts


def words(comparison):
    """The paragraphs of one Task."""
    title, absent = f"**{plain(comparison.task.title)}.**", " ".join(left_out(comparison))
    if comparison.pairs:
        first = comparison.pairs[0].one
        parts = [f"{title} {_best(comparison, first)}", *_against_scratch(comparison),
                 " ".join(limits(comparison)), absent]
        return list(filter(None, parts))
    if len(comparison.methods) < 2:
        said = "Fewer than two methods have a best setting: nothing to compare."
    elif not any(method.sample for method in comparison.methods):
        said = "The methods were not compared: that needs the predictions of every run."
    else:
        said = "No two methods can be compared."
    return [" ".join(filter(None, [title, said, absent]))]


def _best(comparison, first):
    """Which method is first, and whether it is better than the others; from scratch follows."""
    images = first.sample.shares.shape[1]
    told = [f"Of the same {images} test images {first.name} recognised most: "
            f"{percent(first.sample.accuracy)} ({_trainings(first)})."]
    pairs = [pair for pair in comparison.pairs
             if pair.one is first and not any(_told_apart(pair, comparison))]
    better = [pair for pair in pairs if pair.shown]
    undecided = [pair for pair in pairs if not pair.shown]
    if better:
        told.append(f"It is better than {listed(f'{pair.other.name} by {_by(pair)}' for pair in better)}.")
    if undecided:
        told.append("No difference was shown between it and "
                    f"{listed(f'{pair.other.name} ({_gap(pair)})' for pair in undecided)}.")
    return " ".join(told)


def _told_apart(pair, comparison):
    """For each stem from scratch, whether a pair is in what is said of it by itself."""
    for place, scratch in enumerate(scratches_of(comparison.methods)):
        other = pair.one if pair.other is scratch else pair.other if pair.one is scratch else None
        yield other is not None and (place == 0 or other.model_type in STARTED)


def _against_scratch(comparison):
    """A list of all other methods against training from scratch, and a short one for each other stem
    of that. What they cost where from scratch takes no part."""
    scratch, *others = scratches_of(comparison.methods) or [None]
    pairs = [pair for pair in comparison.pairs if scratch in (pair.one, pair.other)]
    if not pairs:
        return [_costs(comparison)]
    return [_against(scratch, pairs),
            *filter(None, (_against_other(comparison, other) for other in others))]


def _against_other(comparison, scratch):
    """As `_against`, in a sentence, without costs and labels, of networks that start from weights; ""
    where there are none."""
    told = []
    for pair in comparison.pairs:
        if scratch not in (pair.one, pair.other):
            continue
        method = pair.one if pair.other is scratch else pair.other
        if method.model_type in STARTED:
            found = (f"{'better' if pair.other is scratch else 'worse'} by {_by(pair)}" if pair.shown
                     else f"not shown to differ ({_gap(pair, pair.other is scratch)})")
            told.append(f"{method.name} is {found}")
    return told and (f"{scratch.name} recognised {percent(scratch.sample.accuracy)} "
                     f"({_trainings(scratch)}). Against that, {listed(told)}.")


def _against(scratch, pairs):
    """The list of all others against from scratch: by how much, worth how many labels, in how many
    minutes."""
    lines = [f"Against {scratch.name}, which recognised {percent(scratch.sample.accuracy)} "
             f"({_trainings(scratch)}) and took {_cost(scratch)} a training:", ""]
    for pair in pairs:
        ahead = pair.other is scratch
        method = pair.one if ahead else pair.other
        if pair.shown:
            said = f"{'better' if ahead else 'worse'} by {_by(pair)}"
            said += f". {_worth_told(method.worth, scratch)}" if ahead and method.worth else ""
        else:
            said = f"no difference was shown ({_gap(pair, ahead)})"
        lines.append(f"- {method.name}: {said.removesuffix('.')}. A training took {_cost(method)}.")
    return "\n".join(lines)


def _worth_told(worth, scratch):
    """What a method that is better than from scratch is worth in labels, as a sentence."""
    alone = "" if worth.seeds else "; of these networks alone"
    if math.isinf(worth.factor):
        if worth.most <= 1:
            return ("What that is worth in labels is beyond what was measured: there is no training from "
                    "scratch with more of them.")
        return (f"That is worth more than {worth.most:.2g} times the labels, which is beyond what was "
                f"measured ({SURE} interval: {_span(worth)}{alone}).")
    if worth.factor <= 1:
        return f"How many labels that is worth is not told: more labels did not help {scratch.name}."
    return (f"From scratch would need {worth.factor:.2g} times the labels for that ({SURE} interval: {_span(worth)}; "
            f"interpolated between {worth.below:.2g} and {worth.above:.2g} times{alone}).")


def _span(worth):
    """`1.5 to 2.5`; what was not measured is said to be so."""
    low, high = (f"less than {worth.least:.2g}" if end == 0 else
                 f"more than {worth.most:.2g}" if math.isinf(end) else f"{end:.2g}"
                 for end in (worth.low, worth.high))
    return low if low == high else f"{low} to {high}"


def _costs(comparison):
    """What all methods cost, in a sentence."""
    return "A training took: " + "; ".join(f"{method.name} {_cost(method)}" for method
                                           in comparison.methods if method.sample) + "."


def _cost(method):
    before = method.pretraining_minutes
    told = ("" if before == 0 else " after a pre-training whose time is not recorded here"
            if before is None else f" after {minutes(before)} of pre-training")
    return minutes(method.minutes) + told


def pairs_table(comparison):
    """A Markdown table of all pairs."""
    return markdown([{
        "Higher accuracy": pair.one.label, "Lower": pair.other.label,
        "Points": points(pair.found.value),
        f"{SURE} interval": f"{points(pair.found.low)} to {points(pair.found.high)}",
        "p, McNemar": p_value(pair.found.mcnemar), "p, corrected": p_value(pair.p),
        "Difference": "shown" if pair.shown else "not shown",
        "Between": _between(pair)}
        for pair in comparison.pairs])


def methods_table(comparison):
    """A Markdown table of the methods that were compared."""
    rows = []
    for method in comparison.methods:
        if method.sample:
            before, found = method.pretraining_minutes, method.worth
            rows.append({
                "Method": method.label, "Test accuracy": f"{method.sample.accuracy:.4f}",
                "Trainings": f"{method.sample.trainings}",
                "Pre-trainings": f"{method.result.pretrainings or '-'}",
                "Test images": f"{method.sample.shares.shape[1]}",
                "Times the labels from scratch": "-" if found is None else _span(found)
                if found.factor in (0, math.inf) else f"{found.factor:.2g} ({_span(found)})",
                "Minutes": minutes(method.minutes, ""),
                "Of pre-training": "not recorded" if before is None else
                "-" if before == 0 else minutes(before, "")})
    return markdown(rows)


def _trainings(method):
    number, before = method.sample.trainings, method.result.pretrainings
    told = "one training" if number == 1 else f"mean of {number} trainings"
    return told + f" on {before} pre-trainings" * (before > 1)


def _by(pair):
    return (f"{points(pair.found.value)} percentage points ({SURE} interval: "
            f"{points(pair.found.low)} to {points(pair.found.high)}{_alone(pair)})")


def _alone(pair):
    """What an interval holds for, where that is less than the methods."""
    between = _between(pair)
    return "" if between == "methods" else f"; of {between} alone"


def _between(pair):
    """What a difference is one of, in words."""
    starts = [method.start for method in (pair.one, pair.other) if method.start]
    drawn = "one draw of the labels" * (pair.one.one_draw or pair.other.one_draw)
    before = ("one pre-training" + " of each" * (len(set(starts)) > 1)) * bool(starts)
    return " and ".join(filter(None, (before, drawn))) or "methods" if pair.found.seeds else "these networks"


def _gap(pair, ahead=True):
    """Where a difference may lie that was not shown. Args: ahead: whether it is told of the one with
    the higher accuracy."""
    found, sign = pair.found, 1 if ahead else -1
    low, high = sorted((sign * found.low, sign * found.high))
    many = low > 0 or high < 0  # it is the other condition that fails
    return (f"{side(sign * found.value, sign)}; {SURE} interval: {side(low, -1)} to {side(high, 1)}"
            + f", but p {p_value(pair.p)} after Holm's correction" * many + _alone(pair))
