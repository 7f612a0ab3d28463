"""Random streams: one for each purpose and numbers."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from data.dataloader import FeatureBatches, generator
from data.streams import PURPOSES, rng, stream
from tests.common import ROOT

NUMBERS = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 2), (1, 2, 0), (1, 2, 0, 0), (1, 2, 0, 0, 0), (2 ** 32,),
           (2 ** 32, 0), (0, 2 ** 32), (2 ** 32, 5), (0, 5 * 2 ** 32 + 1), (2 ** 63 - 1, 1), (2 ** 64 - 1, 1),
           (1, 0, 1), (5, 4, 3, 2, 1), (5, 4, 3, 2, 1, 0)]


def test_no_two_purposes_and_no_two_tuples_share_a_stream():
    assert len(set(PURPOSES)) == len(PURPOSES)
    found = {stream(purpose, *numbers).generate_state(4).tobytes()
             for purpose, numbers in itertools.product(PURPOSES, NUMBERS)}
    assert len(found) == len(PURPOSES) * len(NUMBERS)


def test_the_same_numbers_give_the_same_draws():
    assert rng("order", 3, 1).random() == rng("order", np.int64(3), 1).random() != rng("views", 3, 1).random()


@pytest.mark.parametrize("purpose, numbers", [("nothing", (0,)), ("order", (-1,)), ("order", (0, 2 ** 64))])
def test_another_purpose_or_number_is_an_error(purpose, numbers):
    with pytest.raises(ValueError, match="nothing|tuple|random stream"):
        stream(purpose, *numbers)


def test_batches_views_and_augmentation_draw_from_their_own():
    features = np.stack([np.full((40, 1), view, np.float32) for view in range(3)])
    batches = FeatureBatches(features, np.arange(40), 8, "cpu")
    order = rng("order", 4, 2).permutation(40)
    assert np.array_equal(batches.order(4, 2), order)
    views = torch.cat([found[:, 0] for found, _ in batches.epoch(4, 2)])
    assert views.tolist() == rng("views", 4, 2).integers(3, size=40)[order].tolist()
    seed = int(stream("augmentation", 4, 2, 7).generate_state(1, np.uint64)[0] >> 1)
    assert generator(4, 2, 7).initial_seed() == seed != generator(4, 2, 7, 0).initial_seed()


@pytest.mark.parametrize("module", ["streams", "sampling", "duplicates"])
def test_without_pytorch(module):
    code = f"import sys, data.{module}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
