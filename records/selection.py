"""Which setting of a method is its best: by validation, on the runs that settings have in common."""

import statistics

from records.results import written


def best_of(results):
    """{model type: its Result with the best validation accuracy (the first of equals)}.

    Two settings are compared on the seeds of training and of pre-training that both have: rates are tried with
    one seed, and one that was lucky is no match for the mean of three. Where they have none in common, the one
    with fewer runs does not count as better. Settings of which a run diverged do not take part (`passed_over`);
    without validation accuracies only a single setting is the best.
    """
    best = {}
    for model_type in sorted({result.setting.model_type for result in results}):
        able = [result for result in results if result.setting.model_type == model_type
                and not result.status.startswith("diverged")]
        judged = [result for result in able if result.val.mean is not None]
        if judged:
            first, *others = sorted(judged, key=lambda result: (-len(result.counted), -result.val.mean))
            for other in others:
                first = other if _better(other, first) else first
            best[model_type] = first
        elif len(able) == 1:
            best[model_type] = able[0]
    return best


def passed_over(results, best):
    """Those of a method's Results that would be better on validation than its best, but for runs of them that
    diverged."""
    return [result for result in results if result.status.startswith("diverged (")
            and result.val.mean is not None and best.val.mean is not None and _better(result, best)]


def none_best(results):
    """Why none of a method's Results is the best."""
    states = [result.status for result in results if result.status.startswith("diverged")]
    if len(states) < len(results):
        return "several settings and no validation accuracy to choose by (train.py --val-ratio)"
    return states[0] if len(states) == 1 else f"{len(states)} settings, all diverged"


def _better(one, other):
    """Whether validation prefers one Result to another."""
    mine, others = _by_seeds(one), _by_seeds(other)
    shared = [seeds for seeds in mine if seeds in others]
    if shared:
        return statistics.fmean(map(mine.get, shared)) > statistics.fmean(map(others.get, shared))
    return len(one.counted) >= len(other.counted) and one.val.mean > other.val.mean


def _by_seeds(result):
    """{(seeds of the pre-trainings behind, of training): validation accuracy} of its runs whose seed is known."""
    found = {}
    for run, row in result.counted:
        value = written([row] if row else [], "val_accuracy")
        if value and run.seed is not None:
            found[run.behind and run.behind[:-1], run.seed] = value[0]
    return found
