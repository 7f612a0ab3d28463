"""Methods of one task compared pairwise on the same test images, each at its setting best on
validation; reporting.answer says it in words."""

import statistics
from typing import NamedTuple, Optional

from conf.methods import MODEL_TYPES
from records.predictions import Unfit, read_correct
from records.results import Result, best_of, none_best, written
from records.runs import identity_of
from records.setting import DEEPEST, table
from reporting import style
from reporting.paired import Difference, Sample, Worth, difference, holm, sample_of, worth
from reporting.style import bests, methods
from reporting.tasks import Task, by_task

ALPHA = 0.05  # of the corrected p
SCRATCH = next(name for name, kind in MODEL_TYPES.items() if not kind.pretraining and not kind.frozen)


class Method(NamedTuple):
    """A method at its best setting. sample: None for one that takes no part, lack says why. minutes: of the epochs of one run, a mean; pretraining_minutes: of
    all pre-trainings behind it, 0 for none, None where that is not recorded. worth: in labels
    against from scratch; None where that has no two label ratios on the same images."""
    result: Result
    sample: Optional[Sample]
    lack: str
    minutes: float
    pretraining_minutes: Optional[float]
    worth: Optional[Worth] = None

    @property
    def model_type(self):
        return self.result.setting.model_type


class Pair(NamedTuple):
    """Two methods, the one with the higher accuracy first. p: as of Difference, corrected for all
    pairs of the task (Holm)."""
    one: Method
    other: Method
    found: Difference
    p: float

    @property
    def shown(self):
        """Whether the difference was shown: neither interval nor corrected p speaks against it."""
        return self.p < ALPHA and (self.found.low > 0 or self.found.high < 0)


class Comparison(NamedTuple):
    """All that was compared in one Task. methods: best test accuracy first,
    those that take no part last; pairs: in their order. absent: (Results of a method none of which
    is the best, why) each."""
    task: Task
    methods: list
    pairs: list
    absent: list


def compare(results):
    """A Comparison for each Task, all labels first. Args: results: of trainings and, where their
    minutes shall count, of pre-trainings."""
    tasks, seconds = by_task(results), pretraining_seconds(results)
    found = {task: [method_of(best, seconds) for best in bests(tasks[task])]
             for task in sorted(tasks, key=lambda task: (task.data, -task.labels, task.images))}
    absent = {task: [(results, none_best(results)) for results in methods(group).values() if not best_of(results)]
              for task, group in tasks.items()}
    curves = _curves(found)
    return [_comparison(task, compared, curves, absent[task]) for task, compared in found.items()]


def method_of(result, seconds):
    """A Result as a Method. Args: seconds: as from pretraining_seconds."""
    minutes = statistics.fmean(sum(written(run.rows, "seconds")) for run in result.runs) / 60
    before = [_before(run.config, seconds) for run in result.runs]
    before = None if None in before else statistics.fmean(before) / 60
    try:
        correct = [read_correct(run.csv, run.config, row and row["test_accuracy"])
                   for run, row in zip(result.runs, result.chosen)]
    except Unfit as error:
        return Method(result, None, str(error), minutes, before)
    behind = [run.behind for run in result.runs]
    apart = len(set(behind)) == 1 and not result.setting.solved
    sample = sample_of(correct, range(len(correct)) if apart else behind)
    return Method(result, sample, "", minutes, before)


def pretraining_seconds(results):
    """{digest of its identity: seconds of all epochs} of the pre-trainings whose CSVs are there."""
    runs = [run for result in results if result.setting.pretraining for run in result.runs]
    found = {_digest(run.config): sum(written(run.rows, "seconds")) for run in runs}
    return {digest: total for digest, total in found.items() if digest}


def _before(config, seconds):
    """Seconds of all pre-trainings behind a run, None where one is not recorded."""
    total, run = 0.0, config
    for _ in range(DEEPEST):
        if identity_of(run) is None:
            return None
        if run["weights"] is None:
            return total
        run = table(run["weights"], "run")
        digest = _digest(run)
        if digest not in seconds:
            return None
        total += seconds[digest]
    return None


def _digest(record):
    """Of the identity in a YAML file or a part of one, None where there is none."""
    try:
        return identity_of(record) and identity_of(record).digest
    except (TypeError, ValueError, RecursionError):  # what YAML may hold and no run has
        return None


def _curves(found):
    """{(dataset, images of Task): [{label ratio: Method}]} of from scratch, a dict for each kind of it
    (stem): along a curve nothing but the labels may change."""
    curves = {}
    for task, compared in found.items():
        for method in compared:
            if method.model_type == SCRATCH and method.sample:
                kinds = curves.setdefault((task.data, task.images), {})
                kinds.setdefault(style.method_of(method.result), {})[task.labels] = method
    return {images: list(kinds.values()) for images, kinds in curves.items()}


def _comparison(task, compared, curves, absent):
    compared = [_with_worth(method, task, curves) for method in compared]
    compared.sort(key=lambda method: -method.sample.accuracy if method.sample else 1)
    found = [(one, other, difference(one.sample, other.sample))
             for place, one in enumerate(compared) for other in compared[place + 1:]
             if one.sample and other.sample]
    corrected = holm([each.p for *_, each in found])
    return Comparison(task, compared, [Pair(*pair, p) for pair, p in zip(found, corrected)], absent)


def _with_worth(method, task, curves):
    """With what it is worth against the kind of from scratch that is best on validation with as many
    labels, of those that were trained with other numbers of labels, too."""
    able = [curve for curve in curves.get((task.data, task.images), []) if len(curve) > 1]
    here = [curve for curve in able if task.labels in curve] or able
    if method.sample is None or method.model_type == SCRATCH or not here:
        return method
    curve = max(here, key=lambda curve: curve[min(curve, key=lambda ratio: abs(ratio - task.labels))]
                .result.val.mean or 0)
    samples = {labels: scratch.sample for labels, scratch in curve.items()}
    return method._replace(worth=worth(method.sample, task.labels, samples))
