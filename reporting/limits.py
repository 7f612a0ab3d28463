"""What a comparison does not say, in sentences: of how few networks it is, what differs besides the methods, what
was left out."""

from reporting.comparison import scratches_of
from reporting.labels import labelled_images
from reporting.phrases import listed, percent
from reporting.tables import method_name, plain

UNEQUAL = 1e-3  # that accuracy and balanced accuracy differ by where classes are not equally frequent


def limits(comparison):
    """The sentences on those methods that take part."""
    able = [method for method in comparison.methods if method.sample]
    return [*_of_networks(able), *_of_worth(comparison), *_of_settings(able), *_of_classes(able)]


def left_out(comparison):
    """Which methods take no part and why, in sentences."""
    reasons = {}
    for method in comparison.methods:
        if not method.sample:
            reasons.setdefault(method.lack, []).append(method)
    told = [f"Left out: {_names(methods)} ({lack}; --overwrite makes a run anew)."
            for lack, methods in reasons.items()]
    told += [f'Left out: "{plain(method_name(results))}" ({why}).' for results, why in comparison.absent]
    return told


def _names(methods):
    return listed(method.name for method in methods)


def _of_networks(able):
    """How few trainings and pre-trainings there are."""
    told, solved = [], [method for method in able if method.result.setting.solved and len(method.sample.shares) == 1]
    if solved:
        told.append(f"With all labels the solver of {_names(solved)} ends at the same classifier "
                    "for every seed. What is said of it holds for this very pre-training on other images"
                    + "; another seed of that (pretrain.py --seed) may turn it round"
                    * all(method.result.pretrainings for method in solved) + ".")
    single = [method for method in able if method.sample.trainings == 1 and method not in solved]
    if single:
        which = "each method" if len(single) == len(able) else _names(single)
        told.append(f"There is only one training of {which}: what is said of it holds for these very "
                    "networks on other images, not for the methods; another seed may turn it round. "
                    "Train with three seeds or more (--seed) to compare methods.")
    shared = [method for method in able if len(method.sample.shares) > 1 and method.start]
    if shared:
        told.append(f"All trainings of {_names(shared)} start from one pre-training: what "
                    "another seed of that would change is not in the intervals.")
    drawn = [method for method in able if method.one_draw]
    if drawn:
        told.append(f"All trainings of {_names(drawn)} saw the same draw of the labelled images (--seed): what "
                    "another one would change is not in the intervals.")
    return told


def _of_worth(comparison):
    scratch = next(iter(scratches_of(comparison.methods)), None)
    if scratch is None or any(method.worth for method in comparison.methods):
        return []
    return [f"How many labels a method is worth needs trainings of {scratch.name} at two label ratios "
            "or more (--label-ratio)."]


def _of_settings(able):
    """What differs besides the method, and what was not chosen."""
    told = []
    partial = [method for method in able if method.result.status.startswith("unfinished")]
    if partial:
        told.append("Training is unfinished: " + "; ".join(map(_unfinished, partial)) + ".")
    for method in able:
        if method.passed:
            status = method.passed[0].status.removeprefix("diverged (").removesuffix(")")
            told.append(f"Another setting of {method.name} is better on validation, but {status} of its trainings "
                        "diverged, so it does not count.")
    nets = {method.result.setting.told("arch") for method in able} - {None}
    if len(nets) > 1:
        told.append("Not all of them are the same network: " + "; ".join(
            f"{_names([method for method in able if method.result.setting.told('arch') == net])} {net}"
            for net in sorted(nets)) + ".")
    counts = {labelled_images(method.result) for method in able} - {None}
    files = {run.config.get("train_files") for method in able for run, _ in method.result.counted
             if isinstance(run.config.get("train_files"), str)}
    if len(counts) > 1 or len(files) > 1:
        told.append("They were not all trained on the same labelled images.")
    if len(frozenset().union(*(method.machines for method in able))) > 1:
        told.append("Minutes are of several machines or numbers of threads, and do not compare methods.")
    return told


def _unfinished(method):
    done, runs = len(method.result.counted), len(method.result.runs)
    return method.name + (f" ({runs - done} of {runs}, which {'is' if runs - done == 1 else 'are'} left out)"
                          if done < runs else "")


def _of_classes(able):
    """Whether classes that are more frequent than others decide which method is first."""
    scores = [(method.result.test.mean, method.result.measure("test_balanced_accuracy").mean, method)
              for method in able]
    scores = [score for score in scores if None not in score[:2]]
    if len(scores) < 2 or all(abs(score - balanced) < UNEQUAL for score, balanced, _ in scores):
        return []
    first, best = max(scores, key=lambda score: score[0]), max(scores, key=lambda score: score[1])
    if first is best:
        return []
    return [f"By balanced accuracy, to which every class counts the same, {best[2].name} is first "
            f"({percent(best[1])}; {first[2].name} has {percent(first[1])}): the classes are not equally frequent."]
