"""Random streams, one for each purpose: what is drawn for one does not depend on the others."""

import numpy as np

PURPOSES = ("sample", "hold-out", "labels", "order", "augmentation", "views", "probe", "digits",
            "shown", "split")  # appended to: the place of a purpose is its stream


def stream(purpose, *numbers):
    """The numpy SeedSequence of a purpose and numbers, e.g. a seed, an epoch and a step.

    The spawn key keeps purposes apart, and tuples of other lengths: a SeedSequence alone fills up
    with zeros, so that (1, 2) and (1, 2, 0) would be the same. It cuts numbers into 32-bit words,
    as many as each needs, so that (2 ** 32, 0) and (0, 1) would be: here each has two.
    Args: purpose: one of PURPOSES. numbers: ints in [0, 2 ** 64).
    Raises: ValueError for another purpose or number.
    """
    if not all(0 <= number < 2 ** 64 for number in numbers):
        raise ValueError(f"{numbers}: a random stream is named by ints in [0, 2 ** 64)")
    words = [word for number in numbers for word in divmod(int(number), 2 ** 32)]
    return np.random.SeedSequence(words, spawn_key=(PURPOSES.index(purpose), len(numbers)))


def rng(purpose, *numbers):
    """A numpy Generator on that stream."""
    return np.random.default_rng(stream(purpose, *numbers))
