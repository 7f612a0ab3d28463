"""What was found, in words and in two tables: which method is better, by how much, how sure that is."""

import math

from reporting.comparison import ALPHA, SCRATCH, compare
from reporting.paired import LEVEL
from reporting.style import is_partial
from reporting.tables import markdown, method_name, plain

SURE = f"{100 * LEVEL:.0f} %"
HOW = (f"How to read this: a {SURE} interval is where the true difference lies in 95 of 100 such "
       "comparisons, if other test images of the same kind and other seeds were drawn. A difference "
       "counts as shown where that interval leaves out zero and p, the chance of so large a "
       f"difference between equal methods, is below {ALPHA:g} after Holm's correction for the number "
       "of pairs. \"No difference was shown\" does not mean that there is none: more test images or "
       "more seeds may show one. The variance is that of images and seeds, crossed, with a t "
       "quantile for few seeds; p is the larger of that of this interval and that of McNemar's exact "
       "test, in which an image counts for the method of which the larger share of networks "
       "recognised it.")


def answer_parts(results):
    """Markdown of the answer: a paragraph and tables for each dataset and label ratio. Args:
    results: of trainings, and of the pre-trainings whose minutes shall count."""
    found = compare(results)
    parts = ["## In words"] if found else []
    for comparison in found:
        parts += [words(comparison)]
    if any(comparison.pairs for comparison in found):
        parts += [HOW]
    for comparison in found:
        if comparison.pairs:
            parts += [f"### Compared pair by pair: {task_name(comparison)}", pairs_table(comparison),
                      methods_table(comparison)]
    return parts


def task_name(comparison):
    """`cifar100, label ratio 0.1`."""
    labels = f", label ratio {comparison.labels:.15g}" * (comparison.labels != 1)
    return f"{plain(comparison.data)}{labels}"


def words(comparison):
    """The paragraph of one dataset and label ratio."""
    able = [method for method in comparison.methods if method.sample]
    told = [f"**{task_name(comparison)}.**"]
    if comparison.pairs:
        first = comparison.pairs[0].one
        told += [_best(comparison, first), *_against_scratch(comparison, first), *_limits(comparison)]
    elif len(comparison.methods) < 2:
        told.append("There is only one method with a best setting: nothing to compare.")
    elif not able:
        told.append("The methods were not compared: that needs the predictions of every run.")
    else:
        told.append("No two methods can be compared.")
    return " ".join([*told, *_left_out(comparison)])


def _best(comparison, first):
    """Who is first, and what that is worth against each of the others."""
    images = first.sample.shares.shape[1]
    told = [f"On the same {images} test images {_name(first)} was right most often: "
            f"{_percent(first.sample.accuracy)} ({_trainings(first)})."]
    pairs = [pair for pair in comparison.pairs if pair.one is first]
    worse = [pair for pair in pairs if pair.shown]
    open_ones = [pair for pair in pairs if not pair.shown]
    if worse:
        told.append("It is better than " + _listed(
            f"{_name(pair.other)} by {_by(pair)}" for pair in worse) + ".")
    if open_ones:
        told.append(f"Between it and {_listed(_name(pair.other) + _range(pair) for pair in open_ones)} "
                    "no difference was shown.")
    return " ".join(told)


def _against_scratch(comparison, first):
    """Each method against training from scratch, with its worth in labels and its cost."""
    scratch = next((method for method in comparison.methods
                    if method.model_type == SCRATCH and method.sample), None)
    told = []
    pairs = [pair for pair in comparison.pairs if scratch in (pair.one, pair.other)]
    for pair in pairs:
        other = pair.one if pair.other is scratch else pair.other
        if pair.one is not first:
            if pair.shown:
                better = "better" if pair.one is other else "worse"
                told.append(f"{_name(other)} is {better} than {_name(scratch)} by {_by(pair)}.")
            else:
                told.append(f"Between {_name(other)} and {_name(scratch)} no difference was shown "
                            f"({_gap(pair)}).")
        if pair.shown and pair.one is other:
            told.append(_worth_told(other.worth))
    return [*filter(None, map(_capital, told)), _costs(comparison)]


def _worth_told(worth):
    """What a method is worth in labels, as a sentence; "" where that is not known."""
    if worth is None:
        return ""
    if math.isinf(worth.factor):
        return ("How many labels that is worth lies beyond what was measured: from scratch was not as "
                "good with the most labels that it was given.")
    if worth.factor == 0:
        return "From scratch was as good with fewer labels than the fewest that it was given here."
    return (f"From scratch would need {worth.factor:.2g} times the labels for that ({SURE} interval: "
            f"{_span(worth)}).")


def _span(worth):
    """`1.5 to 2.5`; what was not measured is said to be so."""
    low = "less than was measured" if worth.low == 0 else f"{worth.low:.2g}"
    high = "beyond what was measured" if math.isinf(worth.high) else f"{worth.high:.2g}"
    return f"{'beyond what was measured' if math.isinf(worth.low) else low} to {high}"


def _costs(comparison):
    """What the methods cost, in a sentence."""
    costs = [f"{_name(method)} {minutes(method.minutes)}" + (
        "" if method.pretraining_minutes == 0 else
        " after a pre-training whose time is not recorded here" if method.pretraining_minutes is None
        else f" after {minutes(method.pretraining_minutes)} of pre-training")
        for method in comparison.methods if method.sample]
    return f"One training took: {'; '.join(costs)}."


def _limits(comparison):
    """What these comparisons do not say."""
    able = [method for method in comparison.methods if method.sample]
    told = []
    single = [method for method in able if len(method.sample.shares) == 1]
    if single:
        told.append(f"Of {_listed(map(_name, single))} there is one training only: whatever is said of "
                    f"{'it' if len(single) == 1 else 'them'} holds for these very networks on other "
                    "images, and not for the methods, since another seed may turn it round; train with "
                    "three or more seeds (--seed) for that.")
    shared = [method for method in able if len(method.sample.shares) > 1
              and method.result.pretrainings == 1]
    if shared:
        told.append(f"All trainings of {_listed(map(_name, shared))} start from one pre-training: how "
                    "much another pre-training would change is not in the intervals.")
    partial = [method for method in able if is_partial(method.result)]
    if partial:
        told.append(f"Unfinished: {_listed(map(_name, partial))}.")
    return told


def _left_out(comparison):
    """Which methods take no part, and why."""
    reasons, told = {}, []
    for method in comparison.methods:
        if not method.sample:
            reasons.setdefault(method.lack, []).append(method)
    for lack, methods in reasons.items():
        told.append(f"Left out of the comparison: {_listed(map(_name, methods))} ({lack}; a run is made "
                    "anew with --overwrite).")
    tests = {method.images for method in comparison.methods if method.sample}
    if len(tests) > 1:
        told.append("Not all methods were tested on the same images as they were stored: only those "
                    "that were are compared with each other.")
    return told


def pairs_table(comparison):
    """A Markdown table of all pairs."""
    return markdown([{
        "Better": _name(pair.one), "Than": _name(pair.other),
        "Points": _points(pair.found.value), f"{SURE} interval": _interval(pair),
        "Images for it": f"{pair.found.one_more}", "Against": f"{pair.found.other_more}",
        "p, McNemar": _p(pair.found.mcnemar), "p, corrected": _p(pair.p),
        "Difference": "shown" * pair.shown or "not shown",
        "About": "methods" if pair.found.seeds else "these networks"} for pair in comparison.pairs])


def methods_table(comparison):
    """A Markdown table of the methods that were compared."""
    return markdown([{
        "Method": _name(method), "Test accuracy": f"{method.sample.accuracy:.4f}",
        "Trainings": f"{method.sample.trainings}",
        "Pre-trainings": f"{method.result.pretrainings or '-'}",
        "Test images": f"{method.sample.shares.shape[1]}",
        "Labels that from scratch needs, times": "-" if method.worth is None else (
            "beyond what was measured" if math.isinf(method.worth.factor) else
            f"{method.worth.factor:.2g} ({_span(method.worth)})"),
        "Minutes": minutes(method.minutes, ""),
        "Minutes of pre-training": "not recorded" if method.pretraining_minutes is None
        else minutes(method.pretraining_minutes, "")}
        for method in comparison.methods if method.sample])


def minutes(value, unit=" min"):
    """`0.4 min`, `12 min`."""
    return (f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.05 or value == 0
            else "under 0.1") + unit


def _name(method):
    name = method_name([method.result])
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def _capital(sentence):
    return sentence[:1].upper() + sentence[1:]


def _trainings(method):
    number, before = method.sample.trainings, method.result.pretrainings
    told = "one training" if number == 1 else f"mean of {number} trainings"
    return told + f" on {before} pre-trainings" * (before > 1)


def _by(pair):
    return f"{_points(pair.found.value)} percentage points ({SURE} interval: {_interval(pair)})"


def _gap(pair):
    return (f"{_points(pair.found.value)} percentage points more for {_name(pair.one)}; {SURE} interval: "
            f"{_interval(pair)}")


def _range(pair):
    return f" ({_points(pair.found.value)} points less; {SURE} interval: {_interval(pair)})"


def _interval(pair):
    return f"{_points(pair.found.low)} to {_points(pair.found.high)}"


def _points(fraction):
    return f"{100 * fraction:.1f}".replace("-0.0", "0.0")


def _percent(fraction):
    return f"{100 * fraction:.1f} %"


def _p(value):
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _listed(texts):
    *before, last = texts
    return ", ".join(before) + " and " * bool(before) + last
