"""Intervals that hold what they promise, McNemar, Holm, and what a method is worth in labels."""

import math

import numpy as np
import pytest
from scipy import stats

from reporting.paired import Sample, difference, holm, mcnemar_p, sample_of, worth
from tests.simulation import SPREADS, Spread, draw, misses, misses_of_crossed, misses_of_worth

ROUNDS = 200


def sample(*rows):
    return Sample(np.array(rows, float), len(rows))


@pytest.mark.parametrize("levels", [(0.3, 0.3), (0.5, 0.3)], ids=["equal", "known difference"])
@pytest.mark.parametrize("images, networks", [(500, (3, 3)), (2000, (3, 3)), (1000, (3, 5))])
@pytest.mark.parametrize("name", SPREADS)
def test_intervals_miss_as_rarely_as_they_say(name, images, networks, levels):
    """Of 200 intervals 2 to 9 % miss; where chance alone decides, which no dataset does, it may be fewer."""
    missed, significant = misses(SPREADS[name], images, networks, levels, ROUNDS, seed=3)
    assert (0.01 if name == "images all alike" else 0.02) <= missed <= 0.09
    if levels[0] == levels[1]:
        assert significant <= 0.09


def test_seeds_left_out_would_be_seen():
    """The same comparisons, one network each taken for its method: the test above would fail."""
    assert misses(SPREADS["large variance of seeds"], 1000, (1, 1), (0.3, 0.3), ROUNDS)[0] > 0.3


def test_one_network_each_speaks_of_these_networks():
    """Over images alone the interval holds, and it says that it is about no more."""
    random, spread, missed = np.random.default_rng(0), Spread(1.0, 0.5, 0.0), 0
    for _ in range(ROUNDS):
        skills = random.normal(0, 0.3, 2)
        found = difference(*draw(random, 500, spread, skills, (1, 1)))
        truth = spread.accuracy(skills[0]) - spread.accuracy(skills[1])
        missed += not found.low <= truth <= found.high
    assert 0.02 <= missed / ROUNDS <= 0.09 and not found.seeds
    assert difference(sample([1, 0], [1, 1]), sample([0, 0], [0, 1])).seeds
    assert not difference(sample([1, 0], [1, 1]), sample([0, 0])).seeds


def test_methods_that_never_differ_are_not_known_to_be_equal():
    """On 20 images without one difference the truth may still be some percent; on none the interval has no width."""
    found = difference(sample([1] * 20), sample([1] * 20))
    assert found.value == 0 and found.p == 1 and found.low < -0.05 and found.high > 0.05
    same = difference(sample(*[[1, 0] * 500] * 3), sample(*[[1, 0] * 500] * 3))
    assert same.low < 0 < same.high


def test_what_follows_from_the_pairs_alone():
    """p of McNemar's exact test of one network each, from its definition; swapping the methods swaps the signs."""
    random = np.random.default_rng(1)
    one, other = (sample(random.random(300) < share) for share in (0.6, 0.5))
    found, swapped = difference(one, other), difference(other, one)
    gaps = one.shares[0] - other.shares[0]
    more, fewer = int((gaps > 0).sum()), int((gaps < 0).sum())
    tail = sum(math.comb(more + fewer, k) for k in range(min(more, fewer) + 1)) / 2 ** (more + fewer)
    assert found.mcnemar == pytest.approx(min(1, 2 * tail))
    assert found.p >= found.mcnemar and mcnemar_p(np.zeros(5)) == 1
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_mcnemar_of_several_networks_is_that_of_clustered_pairs():
    """From its definition over all pairs of networks (Durkalski et al. 2003), by hand; it goes with the mean."""
    random = np.random.default_rng(2)
    one, other = (sample(*(random.random((count, 200)) < share)) for count, share in ((3, 0.6), (2, 0.5)))
    above, below = 0.0, 0.0
    for image in range(200):
        pairs = [(a[image], b[image]) for a in one.shares for b in other.shares]
        cluster = sum(a > b for a, b in pairs) / 6 - sum(a < b for a, b in pairs) / 6
        above, below = above + cluster, below + cluster ** 2
    assert difference(one, other).mcnemar == pytest.approx(stats.chi2.sf(above ** 2 / below, 1))


def test_networks_of_one_unit_are_averaged():
    networks = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)
    alone = sample_of(networks, range(3))
    assert alone.shares.tolist() == networks.astype(float).tolist() and alone.trainings == 3
    assert sample_of(networks, ["a"] * 3).shares.shape == (1, 3)
    grouped = sample_of(networks, ["a", "a", "b"])
    assert grouped.shares.tolist() == [[1, 0.5, 0], [0, 1, 1]] and grouped.trainings == 3
    crossed = sample_of(networks, ["a", "a", "b"], ["0", "1", "0"])
    assert crossed.draws.tolist() == [[0.5, 0.5, 0.5], [1, 1, 0]] and len(crossed.random) == 2
    assert sample_of(networks, ["a", "b", "c"], ["0", "0", "0"]).draws.shape == (1, 3)
    assert sample_of(networks, ["a", "b", "c"], ["0", "1", "2"]).draws is None, "they vary with the units"


def test_draws_of_labels_that_pretrainings_share_are_in_the_interval():
    """Left out, as if three draws were all there are, far more intervals miss."""
    missed = [misses_of_crossed(1000, 3, 3, ROUNDS, counted) for counted in (True, False)]
    assert missed[0] <= 0.09 and missed[1] > 0.15


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1, 1]


def flat(share, images=1000, networks=3):
    """Networks that all recognise the same share of the images."""
    return Sample(np.tile(np.arange(images) < share * images, (networks, 1)).astype(float), networks)


def test_labels_are_read_off_the_curve_on_a_log_scale():
    curve = {0.01: flat(0.2), 0.1: flat(0.4), 1.0: flat(0.6)}
    assert worth(flat(0.5), 0.1, curve).factor == pytest.approx(10 ** 0.5)
    assert worth(flat(0.4), 0.1, curve).factor == pytest.approx(1)
    assert worth(flat(0.3), 0.1, curve).factor == pytest.approx(10 ** -0.5)
    assert worth(flat(0.2), 0.01, curve).factor == pytest.approx(1)
    found = worth(flat(0.5), 0.1, curve)
    assert found.low < found.factor < found.high and found == worth(flat(0.5), 0.1, curve)
    assert (found.below, found.above, found.seeds) == (1, 10, True)
    assert not worth(flat(0.5), 0.1, {**curve, 1.0: flat(0.6, networks=1)}).seeds


def test_a_curve_that_falls_is_levelled():
    """Better than all labels is not worth half of them, though from scratch was better there by chance."""
    curve = {0.1: flat(0.5), 0.5: flat(0.74), 1.0: flat(0.72)}
    assert worth(flat(0.737), 1.0, curve).factor == math.inf
    assert worth(flat(0.62), 1.0, curve).factor == pytest.approx(math.exp(math.log(0.1) + math.log(5) * 0.12 / 0.23))


def test_what_was_not_measured_is_not_made_up():
    curve = {0.1: flat(0.4), 1.0: flat(0.6)}
    beyond, below = worth(flat(0.9), 1.0, curve), worth(flat(0.1), 0.1, curve)
    assert beyond[:5] == (math.inf, math.inf, math.inf, 0.1, 1)
    assert below[:5] == (0, 0, 0, 1, 10)
    near = Sample(np.roll(flat(0.59).shares, 500, axis=1), 3)  # of other images: the two may well change places
    assert worth(near, 1.0, curve).factor < 1 and worth(near, 1.0, curve).high == math.inf


@pytest.mark.parametrize("name", ["no variance of seeds", "some variance of seeds"])
def test_the_interval_of_labels_misses_rarely(name):
    assert misses_of_worth(SPREADS[name], 1000, 3, 60) <= 0.1


def test_the_variance_is_that_of_two_way_tables():
    """Of very many comparisons, the mean of the estimated variance is the variance of the differences."""
    random, spread, values, reach = np.random.default_rng(0), SPREADS["some variance of seeds"], [], []
    for _ in range(400):
        found = difference(*draw(random, 500, spread, (0.3, 0.3), (8, 8)))
        values.append(found.value)
        reach.append((found.high - found.low) / 2 / stats.t.ppf(0.975, 20))
    assert np.mean(np.square(reach)) == pytest.approx(np.var(values), rel=0.3)
