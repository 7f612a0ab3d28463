"""Methods of one task compared pairwise on the same test images, each at its setting best on
validation; reporting.answer says it in words."""

import statistics
from typing import NamedTuple, Optional

from conf.methods import MODEL_TYPES
from records.predictions import Unfit, read_correct
from records.results import Result, written
from records.runs import identity_of
from records.selection import best_of, none_best, passed_over
from records.setting import DEEPEST, parts_of, table, text
from reporting.labels import labelled_images
from reporting.paired import Difference, Sample, Worth, difference, holm, sample_of, worth
from reporting.style import method_of, methods
from reporting.tables import method_name, plain
from reporting.tasks import Task, by_task

ALPHA = 0.05  # of the corrected p
SCRATCH = next(name for name, kind in MODEL_TYPES.items() if not kind.pretraining and not kind.frozen)


class Method(NamedTuple):
    """A method at its best setting. sample: None for one that takes no part, lack says why. minutes:
    of the epochs of one run, a mean; pretraining_minutes: of all pre-trainings behind it, 0 for
    none, None where that is not recorded; machines: which these were, and how many threads. passed: its
    settings as of records.selection.passed_over. worth: in labels against from scratch; None where that
    has no two label ratios on the same images."""
    result: Result
    sample: Optional[Sample]
    lack: str
    minutes: float
    pretraining_minutes: Optional[float]
    machines: frozenset
    passed: list
    worth: Optional[Worth] = None

    @property
    def model_type(self):
        return self.result.setting.model_type

    @property
    def label(self):
        """Its name as the tables have it."""
        return method_name([self.result])

    @property
    def name(self):
        """Its name in a sentence."""
        return f'"{plain(self.label)}"'

    @property
    def start(self):
        """What tells the one pre-training that all its trainings start from, somebody else's, too; None
        where they start from several, or from none."""
        if self.result.pretrainings == 1:
            return self.result.counted[0][0].behind
        told = self.result.setting.told
        return (told("weights"), told("weights digest")) if told("weights") in ("imagenet", "file") else None

    @property
    def one_draw(self):
        """Whether all of several pre-trainings saw the same draw of the labelled images."""
        return self.sample.draws is not None and len(self.sample.draws) == 1


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
    """All that was compared in one Task. methods: best test accuracy first, those that take no part
    last; pairs: in their order. absent: (Results of a method none of which is the best, why) each."""
    task: Task
    methods: list
    pairs: list
    absent: list


def compare(results):
    """A Comparison for each Task, all labels first. Args: results: of trainings and, where their
    minutes shall count, of pre-trainings."""
    tasks, seconds = by_task(results), pretraining_seconds(results)
    found = {task: [as_method(best, seconds, passed_over(group, best)) for group in methods(tasks[task]).values()
                    for best in best_of(group).values()]
             for task in sorted(tasks, key=lambda task: (task.data, -task.labels, task.images))}
    absent = {task: [(results, none_best(results)) for results in methods(group).values() if not best_of(results)]
              for task, group in tasks.items()}
    curves = _curves(found)
    return [_comparison(task, compared, curves, absent[task]) for task, compared in found.items()]


def as_method(result, seconds, passed=()):
    """A Result as a Method. Args: seconds: as from pretraining_seconds. passed: as Method has it."""
    runs = [run for run, _ in result.counted]
    before = [_before(run.config, seconds) for run in runs]
    known = [found for found in before if found]
    machines = frozenset().union(*(_machines(run.config) for run in runs), *(used for _, used in known))
    told = (statistics.fmean(sum(written(run.rows, "seconds")) for run in runs) / 60,
            statistics.fmean(total for total, _ in known) / 60 if len(known) == len(before) else None, machines,
            list(passed))
    try:
        correct = [read_correct(run.csv, run.config, row and row["test_accuracy"])
                   for run, row in result.counted]
    except Unfit as error:
        return Method(result, None, str(error), *told)
    behind = [run.behind for run in runs]
    apart = len(set(behind)) == 1 and not result.setting.solved
    drawn = [run.seed for run in runs] if result.setting.labels < 1 and not apart else None
    return Method(result, sample_of(correct, range(len(correct)) if apart else behind, drawn), "", *told)


def pretraining_seconds(results):
    """{digest of its identity: (seconds of all epochs, machines)} of the pre-trainings whose CSVs are there."""
    runs = [run for result in results if result.setting.pretraining for run in result.runs]
    found = {_digest(run.config): (sum(written(run.rows, "seconds")), _machines(run.config)) for run in runs}
    return {digest: told for digest, told in found.items() if digest}


def _before(config, seconds):
    """(Seconds, machines) of all pre-trainings behind a run, None where one is not recorded."""
    total, machines, run = 0.0, frozenset(), config
    for _ in range(DEEPEST):
        if identity_of(run) is None:
            return None
        if run["weights"] is None:
            return total, machines
        run = table(run["weights"], "run")
        digest = _digest(run)
        if digest not in seconds:
            return None
        total, machines = total + seconds[digest][0], machines | seconds[digest][1]
    return None


def _machines(config):
    """What a run was made on, as texts: each machine, with its threads and processes, that is written down."""
    return frozenset(" ".join(text(part[name]) for name in ("machine", "threads", "processes") if name in part)
                     for part in parts_of(config) if "machine" in part)


def _digest(record):
    """Of the identity in a YAML file or a part of one, None where there is none."""
    try:
        return identity_of(record) and identity_of(record).digest
    except (TypeError, ValueError, RecursionError):  # what YAML may hold and no run has
        return None


def scratches_of(compared):
    """From scratch with each stem that takes part, the one first that validation prefers."""
    able = [method for method in compared if method.model_type == SCRATCH and method.sample]
    return sorted(able, key=lambda method: -(method.result.val.mean or 0))


def _curves(found):
    """{Task of all labels: {kind: {label ratio: Method}}} of from scratch where there are two ratios, a dict
    for each kind of it (stem): along a curve nothing but the labels may change."""
    curves = {}
    for task, compared in found.items():
        for method in scratches_of(compared):
            kinds = curves.setdefault(task.whole, {})
            kinds.setdefault(method_of(method.result), {})[task.labels] = method
    return {task: {kind: curve for kind, curve in kinds.items() if len(curve) > 1}
            for task, kinds in curves.items()}


def _comparison(task, compared, curves, absent):
    curve = _curve_for(task.labels, scratches_of(compared), curves.get(task.whole, {}))
    compared = [_with_worth(method, task.labels, curve) for method in compared]
    compared.sort(key=lambda method: -method.sample.accuracy if method.sample else 1)
    found = [(one, other, difference(one.sample, other.sample))
             for place, one in enumerate(compared) for other in compared[place + 1:]
             if one.sample and other.sample]
    corrected = holm([each.p for *_, each in found])
    return Comparison(task, compared, [Pair(*pair, p) for pair, p in zip(found, corrected)], absent)


def _curve_for(labels, scratches, curves):
    """{label ratio: Method} of that kind of from scratch which others are held against; where there is none with
    as many labels, of that which validation prefers with the nearest number of them. {} without any."""
    if scratches:
        return curves.get(method_of(scratches[0].result), {})

    def val(curve):
        return curve[min(curve, key=lambda ratio: abs(ratio - labels))].result.val.mean or 0

    return max(curves.values(), key=val, default={})


def _with_worth(method, labels, curve):
    if method.sample is None or method.model_type == SCRATCH or not curve:
        return method
    points = {labelled_images(point.result): point.sample for point in curve.values()}
    own = labelled_images(method.result)
    if own is None or None in points or len(points) < len(curve):
        own, points = labels, {ratio: point.sample for ratio, point in curve.items()}
    return method._replace(worth=worth(method.sample, own, points))
