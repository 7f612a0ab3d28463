"""Runs whose networks recognise as many images as a test wants, and what is said of them."""

import numpy as np

from records.results import read_results
from reporting.answer import answer_parts
from tests.csv_runs import behind, epoch, made_from, write_predicted, write_run

IMAGES = 600
SCRATCH = "Supervised_cifar100-sgd-lr0.1-bs128"
LINEAR = "SelfSupervisedPretrained_cifar100-sgd-lr0.1-bs128-ratio1"
TUNED = "SelfSupervisedPretrainedFinetune_cifar100-sgd-lr0.1-bs128-ratio1"
ease = np.random.default_rng(0).normal(size=IMAGES)


def train(res, name, level, seeds=3, labels=1.0, keep=True, data="images", weights=None, spread=0.02, val=None,
          more=None, columns=None, **settings):
    """Runs of a method whose networks recognise the images that are easy enough for them. Args: weights: as of
    `behind`, or seed -> that. more: of their YAML files. columns: of the last row of their CSVs."""
    for seed in range(seeds):
        random = np.random.default_rng([seed, len(name), int(1000 + 100 * level)])
        correct = ease + level + random.normal(0, spread) + random.normal(0, 0.3, IMAGES) > 0
        own = name + f"-labels{labels:g}" * (labels != 1) + f"-seed{seed}" * bool(seed)
        own += "".join(f"-{key}{value}" for key, value in settings.items())
        if weights is None and "ratio" in name:
            weights = behind()
        start = weights(seed) if callable(weights) else weights
        made = {**made_from(own, data=data, weights=start, **{"stem": "3x3", **settings}), **(more or {})}
        top = level / 10 + 0.4 if val is None else val
        path = write_run(res, own, [epoch(top - 0.1, 0.01), epoch(top, correct.mean(), **(columns or {}))], made=made)
        if keep:
            write_predicted(path, made, correct)
    return path


def said(res):
    """(the words, the tables) of a folder."""
    text = "\n\n".join(answer_parts(read_results(res)))
    return text.partition("\n### ")[0].split("How to read")[0], text
