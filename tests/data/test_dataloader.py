"""Batches: order, pairs of image and label, remainders, going on inside an epoch."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data import dataloader
from data.dataloader import Batches, FeatureBatches
from parallel import distributed
from tests.common import ROOT
from tests.processes import Processes


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


class Cuda:
    """Stands for an accelerator: what is moved there stays."""

    type = "cuda"


class Torch:
    """PyTorch as data/dataloader.py sees it on such a machine."""

    def __init__(self, free):
        self.cuda = SimpleNamespace(mem_get_info=lambda device: (10 ** 12 + free, 2 * 10 ** 12))
        self.device = lambda name: Cuda() if name == "cuda" else torch.device(name)

    def __getattr__(self, name):
        return getattr(torch, name)

    def empty(self, *shape, device, **more):
        assert isinstance(device, Cuda)
        return torch.empty(*shape, **more)


@pytest.fixture
def pretend(monkeypatch):
    """A function that gives data/dataloader.py an accelerator with some bytes of free memory."""
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, where, **more: tensor if isinstance(where, Cuda)
                        else to(tensor, where, **more))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(dataloader, "COPIED", 3)
    return lambda free: monkeypatch.setattr(dataloader, "torch", Torch(free))


@pytest.mark.parametrize("free, resident", [(9 * 48, True), (9 * 48 - 1, False)])
def test_images_on_an_accelerator_are_those_that_are_streamed(pretend, free, resident):
    """Nine of eleven images of 48 bytes live there where half of the memory stays free beside them, else none."""
    pretend(free)
    images = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    rows = np.array([10, 1, 7, 2, 3, 9, 5, 8, 4])
    there, here = (Batches(images, np.arange(11) * 2, 4, device, rows=rows) for device in ("cuda", "cpu"))
    assert (there._resident is not None) == resident and here._resident is None
    same_batches(there, here)
    (images_of, labels), *_ = there.epoch()
    assert np.array_equal(images_of, images[rows[:4]]) and labels.tolist() == [20, 2, 14, 4]


def same_batches(some, others):
    for arguments in ((), (3, 1), (3, 2), (3, 1, 1), (3, 1, len(some))):
        found, wanted = list(some.epoch(*arguments)), list(others.epoch(*arguments))
        assert len(found) == len(wanted) == len(some) - (arguments[2] if len(arguments) > 2 else 0)
        for pair, other in zip(found, wanted):
            assert torch.equal(pair[0], other[0]) and torch.equal(pair[1], other[1])


@pytest.mark.parametrize("piece", [None, 2])
@pytest.mark.parametrize("count, batch_size, held", [(2, 4, 5), (3, 4, 3), (2, 9, 5), (4, 2, 3)])
def test_each_process_holds_its_part_and_gets_its_share(pretend, count, batch_size, held, piece, monkeypatch):
    """Nine images where only so many have room, also with batches in which some processes have no image; but none where
    one process lacks the room."""
    processes = Processes(count)
    for name, stands in (("dist", processes), ("rank", processes.get_rank), ("world", processes.get_world_size)):
        monkeypatch.setattr(distributed, name, stands)
        monkeypatch.setattr(dataloader, name, stands, raising=False)
    images = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    rows = np.array([10, 1, 7, 2, 3, 9, 5, 8, 4])

    def work(rank):
        there, here = (Batches(images, np.arange(11) * 2, batch_size, device, rows=rows, piece_size=piece)
                       for device in ("cuda", "cpu"))
        parts = there._resident
        same_batches(there, here)
        return None if parts is None else len(parts)

    pretend(held * 48)
    assert sum(processes.run(work)) == 9
    pretend(held * 48 - 1)
    assert processes.run(work) == [None] * count


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


@pytest.mark.parametrize("size, processes, images",
                         [(1, 1, 2 ** 21), (32, 1, 2048), (32, 4, 8192), (64, 1, 512), (224, 1, 256),
                                                     (224, 8, 334)])
def test_evaluation_fills_a_gpu_and_is_as_ever_on_a_cpu(size, processes, images, monkeypatch):
    monkeypatch.setattr(dataloader, "world", lambda: processes)
    assert dataloader.evaluation_batch("cuda", size) == images
    assert dataloader.evaluation_batch("cuda:1", size, alone=True) == max(256, 2 ** 21 // size ** 2)
    assert dataloader.evaluation_batch("cpu", size) == 256
