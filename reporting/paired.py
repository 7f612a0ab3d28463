"""How sure a difference of two methods is that were tested on the same images: its interval, its p,
and how many labels it is worth. The numbers alone; reporting.comparison says of what.

Two things are drawn at random, test images and seeds, and they are crossed: every network sees every
image. The variance of an accuracy, or of a difference, is then

    images + seeds - images x seeds,

each estimated from mean squares (Cornfield & Tukey 1956; Owen 2007, "The pigeonhole bootstrap",
on why drawing images and seeds anew together counts the last term three times). What a
bootstrap over images would find of a mean is known in closed form, its sample variance / N. Over
three seeds a bootstrap would find two thirds of the variance and take it for exact, so that a t
quantile takes its place, with the degrees of freedom of such a sum (Satterthwaite 1946; Hillis 2007
for readers x cases, the same design). That seeds must be in it: Bouthillier et al. 2021, "Accounting
for variance in machine learning benchmarks". tests/benchmarks/bench_intervals.py measures how often
these intervals miss.
"""

import math
from typing import NamedTuple, Optional

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

LEVEL = 0.95  # of intervals
DRAWS = 4000  # of the bootstrap; its 95 % intervals vary by a few hundredths of their width


class Sample(NamedTuple):
    """What the networks of one method recognised.

    shares: float (U, N) in [0, 1]: of each of U units, drawn independently, the share of its
        networks that recognised each of N images. A unit is a pre-training with all its trainings
        where there are several, or where these are solved, else a training. trainings: how many
        networks in all. draws: float (D, N), the same of each of D draws of the labelled images where
        several units share them, else None: they are drawn at random as units are, and crossed with these.
    """
    shares: np.ndarray
    trainings: int
    draws: Optional[np.ndarray] = None

    @property
    def accuracy(self):
        return float(self.shares.mean())

    @property
    def random(self):
        """What varies at random but the images: arrays as `shares`, of two rows or more."""
        return [rows for rows in (self.shares, self.draws) if rows is not None and len(rows) > 1]


class Difference(NamedTuple):
    """value: mean accuracy of one less that of the other, a fraction; low, high: its interval.

    seeds: whether it holds for other seeds, too, for which both methods need two units; if not it
    is about these networks. mcnemar: p of McNemar's test, two-sided. p: the larger of it and that of
    the interval.
    """
    value: float
    low: float
    high: float
    seeds: bool
    mcnemar: float
    p: float


class Worth(NamedTuple):
    """How many times the labels the other method needs for the same accuracy, and the interval.
    least, most: how many times the labels were measured; math.inf stands for more, 0 for fewer. below,
    above: of these the two between which `factor` is interpolated. seeds: whether there are two units of
    each point, so that the interval has their variance."""
    factor: float
    low: float
    high: float
    least: float
    most: float
    below: float
    above: float
    seeds: bool


def sample_of(correct, units, draws=None):
    """The Sample of a method. Args: correct: bool (N,) of each network; units: of each, what tells
    the unit that it belongs to from others. draws: the same of the labelled images, where these are drawn."""
    shared = draws is not None and len(set(draws)) < len(set(zip(units, draws)))
    return Sample(_by(units, correct), len(correct), _by(draws, correct) if shared else None)


def _by(keys, correct):
    """float (K, N): the mean of the networks of each key."""
    groups = {}
    for found, key in zip(correct, keys):
        groups.setdefault(key, []).append(found)
    return np.stack([np.mean(row, axis=0) for row in groups.values()])


def difference(one, other):
    """The Difference of two Samples of the same images."""
    gaps = one.shares.mean(0) - other.shares.mean(0)
    value, seeds = float(gaps.mean()), min(len(one.shares), len(other.shares)) > 1
    images = _of_images(gaps)
    variance, freedom = images, max(1, len(gaps) - 1)
    if seeds:
        random = [*one.random, *other.random]
        parts = list(map(_of_seeds, random))
        variance += sum(between - crossed for between, crossed in parts)
        variance = max(variance, images / 2)  # an estimate of a sum may come out below its parts
        shares = [images ** 2 / freedom, *(between ** 2 / (len(rows) - 1) for (between, _), rows in zip(parts, random))]
        freedom = variance ** 2 / sum(shares)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    p = 2 * stats.t.sf(abs(value) / math.sqrt(variance), freedom)
    mcnemar = mcnemar_p(gaps)
    return Difference(value, max(-1.0, value - reach), min(1.0, value + reach), seeds, mcnemar,
                      float(max(p, mcnemar)))


def mcnemar_p(gaps):
    """p of McNemar's test, two-sided: that these networks, not methods, are equally good.

    Of one network each the exact test (McNemar 1947): as many images that one alone recognised as
    that the other alone did. Of several, that for clustered pairs (Durkalski et al. 2003), an image
    being the cluster of all pairs of networks: chi2 = (sum of gaps)^2 / sum of gaps^2, which of one
    network each is McNemar's statistic.
    Args: gaps: (N,) share of one method's networks that recognised an image less the other's.
    """
    more, fewer = int((gaps == 1).sum()), int((gaps == -1).sum())
    if more + fewer == (gaps != 0).sum():
        return float(stats.binomtest(more, more + fewer).pvalue) if more + fewer else 1.0
    return float(stats.chi2.sf(gaps.sum() ** 2 / (gaps ** 2).sum(), 1))


def holm(values):
    """p values corrected for how many they are, in their order (Holm 1979)."""
    order, found, largest = sorted(range(len(values)), key=values.__getitem__), list(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = largest
    return found


def worth(sample, labels, curve):
    """How many times the labels a method is worth.

    The labels with which the other method's curve, interpolated over their logarithm, has this accuracy,
    by this method's labels. More labels do not harm: a curve that falls is levelled (isotonic regression)
    before. The interval: percentiles over draws of all these accuracies, of the images together (normal,
    as means over hundreds of images are), and of the seeds of each with a t distribution, see above.
    Args: sample: of the method. labels: how many it was trained on, or their ratio. curve: {labels:
        Sample} of the other method, of the same images, at two points at least.
    Returns: Worth.
    """
    steps, points = sorted(curve), [sample, *(curve[key] for key in sorted(curve))]
    scale, means = np.log(steps), np.array([point.accuracy for point in points])
    images = np.stack([point.shares.mean(0) for point in points])
    random = np.random.default_rng(0)
    spread = np.atleast_2d(np.cov(images)) / images.shape[1]
    draws = random.multivariate_normal(means, spread, DRAWS, method="svd")
    for place, point in enumerate(points):
        for rows in point.random:
            between, crossed = _of_seeds(rows)
            draws[:, place] += math.sqrt(max(0.0, between - crossed)) * random.standard_t(len(rows) - 1, DRAWS)
    factors = [_reached(scale, row[1:], row[0]) / labels for row in (means, *draws)]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(factors[1:], [tail, 1 - tail], method="nearest")
    times = [step / labels for step in steps]
    return Worth(float(factors[0]), float(low), float(high), times[0], times[-1],
                 max((time for time in times if time <= factors[0]), default=times[0]),
                 min((time for time in times if time >= factors[0]), default=times[-1]),
                 all(len(point.shares) > 1 for point in points))


def _reached(scale, curve, accuracy):
    """The labels with which a curve over their logarithms, levelled, first has an accuracy; 0 if it begins
    above it, math.inf if it stays below."""
    if (np.diff(curve) < 0).any():
        curve = isotonic_regression(curve).x
    if curve[0] > accuracy:
        return 0.0
    for place in range(1, len(curve)):
        if curve[place] >= accuracy:
            step = curve[place] - curve[place - 1]
            share = (accuracy - curve[place - 1]) / step if step else 0.0
            return math.exp(scale[place - 1] + share * (scale[place] - scale[place - 1]))
    return math.exp(scale[0]) if curve[0] == accuracy else math.inf


def _of_images(gaps):
    """Variance of a mean over images, as if the networks were fixed. One image is added that each
    method alone recognises: without, methods that never differ on some images would be taken to
    differ on none at all (Bonett & Price 2012, for one network each)."""
    more = np.concatenate([gaps, [1.0, -1.0]])
    return float(more.var(ddof=1)) / len(more)


def _of_seeds(shares):
    """(variance of the mean over units, as if the images were fixed; the part of it that is images
    x seeds), from the mean squares of a two-way table. Args: shares: (U, N), U > 1."""
    units, images = shares.shape
    rows = shares.mean(1)
    rest = shares - rows[:, None] - shares.mean(0) + rows.mean()
    crossed = (rest ** 2).sum() / ((units - 1) * max(1, images - 1))
    return float(rows.var(ddof=1)) / units, float(crossed) / (units * images)
