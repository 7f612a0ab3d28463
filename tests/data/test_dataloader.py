"""Batches: order, pairs of image and label, remainders, going on inside an epoch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from data.dataloader import Batches, FeatureBatches
from tests.common import ROOT


@pytest.fixture
def batches():
    """Eleven images whose pixels are their row number, two of which are not in use."""
    images = np.broadcast_to(np.arange(11, dtype=np.uint8)[:, None, None, None], (11, 4, 4, 3)).copy()
    return Batches(images, np.arange(11) * 2, 4, "cpu", rows=np.arange(1, 10))


def test_labels_belong_to_their_images(batches):
    seen = []
    for images, labels in batches.epoch(0, 1):
        assert torch.equal(images[:, 0, 0, 0].long() * 2, labels)
        seen += images[:, 3, 3, 2].tolist()
    assert sorted(seen) == list(range(1, 10)) and seen != sorted(seen)


def test_order_depends_on_seed_and_epoch_alone(batches):
    assert np.array_equal(batches.order(1, 2), batches.order(1, 2))
    assert not np.array_equal(batches.order(1, 2), batches.order(1, 3))
    assert not np.array_equal(batches.order(1, 2), batches.order(2, 2))
    assert np.array_equal(batches.order(), np.arange(9)) and np.array_equal(batches.rows, np.arange(1, 10))


def test_an_epoch_goes_on_inside(batches):
    whole = [labels for _, labels in batches.epoch(3, 1)]
    rest = [labels for _, labels in batches.epoch(3, 1, first_step=1)]
    assert len(rest) == len(whole) - 1
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], rest))


@pytest.mark.parametrize("count, size, lengths", [
    (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (1, 4, [1]), (3, 4, [3]), (3, 1, [1, 1, 1])])
def test_a_single_last_image_joins_the_batch_before(count, size, lengths):
    images = np.zeros((count, 2, 2, 3), dtype=np.uint8)
    found = Batches(images, np.zeros(count, dtype=np.int64), size, "cpu")
    assert [len(labels) for _, labels in found.epoch(0, 1)] == lengths and len(found) == len(lengths)


def test_features_of_one_view_an_epoch():
    features = torch.stack([torch.arange(50.0), torch.arange(50.0) + 100])[..., None]
    found = FeatureBatches(features, np.arange(50), 8, "cpu", rows=np.arange(10, 40))
    plain = torch.cat([x for x, _ in found.epoch()])
    assert plain[:, 0].tolist() == list(range(10, 40))
    views = []
    for x, labels in found.epoch(0, 1):
        assert torch.equal(x[:, 0] % 100, labels.float())
        views += (x[:, 0] >= 100).tolist()
    assert 5 < sum(views) < 25 and len(views) == 30
    again = torch.cat([x for x, _ in found.epoch(0, 1, first_step=2)])
    assert torch.equal(again, torch.cat([x for x, _ in found.epoch(0, 1)])[16:])


LIMITED = """
import resource, sys
import numpy as np
import torch
from data.dataloader import Batches
images = np.load(sys.argv[1], mmap_mode="r")
used = int([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData")][0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    np.empty(images.nbytes, dtype=np.uint8)
    sys.exit("the limit limits nothing")
except MemoryError:
    pass
seen = sum(len(labels) for _, labels in Batches(images, np.zeros(len(images)), 256, "cpu").epoch(0, 1))
print(seen)
"""


def test_memory_does_not_grow_with_the_store(tmp_path):
    """A store of 1.2 GB (sparse) streams through a process that may take 200 MB more than at its start."""
    shape = (100_000, 64, 64, 3)
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, shape)
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "images.npy"), str(200 * 2**20)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "OMP_NUM_THREADS": "2"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "100000"
