"""Methods whose true accuracy is known, for what is said of their differences.

A network recognises an image where level + ease of the image (the same for all methods) + how the method takes to the
image + its seed's own skill + chance exceeds 0; all but the level are normal, chance with deviation 1. A method's true
accuracy, over all images and seeds, then has a closed form: Phi(level / sqrt(1 + sum of the variances)).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from reporting.paired import Sample, difference, sample_of, worth


class Spread(NamedTuple):
    """Standard deviations: of the images' ease, of how a method takes to an image, of seeds."""
    ease: float
    liking: float
    seeds: float

    def accuracy(self, level):
        return stats.norm.cdf(level / np.sqrt(1 + self.ease ** 2 + self.liking ** 2 + self.seeds ** 2))


SPREADS = {
    "no variance of seeds": Spread(1.0, 0.5, 0.0),
    "images all alike": Spread(0.0, 0.0, 0.0),  # chance alone decides
    "images decide": Spread(4.0, 1.0, 0.0),
    "some variance of seeds": Spread(1.0, 0.5, 0.1),
    "large variance of seeds": Spread(1.0, 0.5, 0.3),
    "huge variance of seeds": Spread(2.0, 0.5, 1.0),
}


def draw(random, images, spread, levels, networks):
    """A Sample for each level, on the same images. Args: networks: how many seeds of each."""
    ease, found = random.normal(0, spread.ease, images), []
    for level, count in zip(levels, networks):
        own = random.normal(0, spread.liking, images) + level + ease
        skill = random.normal(0, spread.seeds, (count, 1))
        found.append(Sample((own + skill + random.normal(size=(count, images)) > 0).astype(float), count))
    return found


def misses(spread, images, networks, levels, rounds, seed=0):
    """(share of comparisons whose 95 % interval lacks the true difference, share with p < 0.05)."""
    random, missed, significant = np.random.default_rng(seed), 0, 0
    truth = spread.accuracy(levels[0]) - spread.accuracy(levels[1])
    for _ in range(rounds):
        found = difference(*draw(random, images, spread, levels, networks))
        missed += not found.low <= truth <= found.high
        significant += found.p < 0.05
    return missed / rounds, significant / rounds


def misses_of_crossed(images, pretrainings, draws, rounds, counted=True, spread=0.05, seed=0):
    """Share of 95 % intervals that lack the true difference of two equal methods, each of a training on every draw of
    the labelled images from every pre-training. spread: standard deviation of what a draw is to a method; that of a
    pre-training is a fifth of it. counted: whether the interval knows of the draws."""
    random, missed = np.random.default_rng(seed), 0
    keys = [(before, draw) for before in range(pretrainings) for draw in range(draws)]
    for _ in range(rounds):
        ease, samples = random.normal(0.3, 1.0, images), []
        for _ in range(2):
            own = ease + random.normal(0, 0.5, images)
            skill, luck = random.normal(0, spread / 5, pretrainings), random.normal(0, spread, draws)
            found = [own + skill[before] + luck[draw] + random.normal(size=images) > 0 for before, draw in keys]
            units, drawn = zip(*keys)
            samples.append(sample_of(found, units, drawn if counted else None))
        found = difference(*samples)
        missed += not found.low <= 0 <= found.high
    return missed / rounds


def misses_of_worth(spread, images, networks, rounds, seed=0):
    """Share of 95 % intervals that lack how many times the labels a method is truly worth."""
    levels, ratios = (0.0, 0.4, 0.8), (0.1, 0.3, 1.0)
    curve, own = [spread.accuracy(level) for level in levels], spread.accuracy(0.6)
    truth = np.exp(np.interp(own, curve, np.log(ratios))) / 0.1
    random, missed = np.random.default_rng(seed), 0
    for _ in range(rounds):
        method, *points = draw(random, images, spread, (0.6, *levels), (networks,) * 4)
        found = worth(method, 0.1, dict(zip(ratios, points)))
        missed += not found.low <= truth <= found.high
    return missed / rounds
