"""Random streams, one for each purpose: what is drawn for one does not depend on the others."""

import numpy as np

PURPOSES = ("sample", "hold-out", "labels", "order", "augmentation", "views", "probe", "digits",
            "shown")  # appended to: the place of a purpose is its stream


def stream(purpose, *numbers):
    """The numpy SeedSequence of a purpose and numbers, e.g. a seed, an epoch and a step.

    The spawn key keeps purposes apart, and a leading count tuples of other lengths: a SeedSequence
    alone fills up with zeros, so that (1, 2) and (1, 2, 0) would be the same.
    """
    return np.random.SeedSequence(numbers, spawn_key=(PURPOSES.index(purpose), len(numbers)))


def rng(purpose, *numbers):
    """A numpy Generator on that stream."""
    return np.random.default_rng(stream(purpose, *numbers))
