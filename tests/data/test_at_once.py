"""Augmentation as GPUs do it: the same views in few operations. PyTorch's device "meta", which computes nothing and
refuses to tell a value, stands for a GPU where operations, copies and waiting are counted."""

import pytest
import torch

from data import at_once, augment
from parallel.distributed import share_of
from tests.data.test_augment import NORMALISE, generator, some_images
from tests.operations import Operations

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(at_once, "pays", lambda device: True)


@pytest.mark.parametrize("function", [augment.simclr_views, augment.random_resized_crop_flip])
@pytest.mark.parametrize("side, size, options", [(32, 32, {}), (64, 64, {}), (48, 20, {"crop_scale": 0.5}),
                                                 (24, 40, {}), (9, 9, {"blur": 13}), (96, 16, {"blur": 3})])
@pytest.mark.parametrize("pixels", [2 ** 26, 1000])
def test_views_are_those_in_chunks(function, side, size, options, pixels, monkeypatch):
    if function is not augment.simclr_views:
        options = {name: value for name, value in options.items() if name != "blur"}
    images = some_images(23, side)
    wanted = function(images, size, generator(3), **PLAIN, **options)
    monkeypatch.setattr(at_once, "pays", lambda device: True)
    monkeypatch.setattr(at_once, "PIXELS", pixels)
    found = function(images, size, generator(3), **PLAIN, **options)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("function", [augment.simclr_views, augment.random_resized_crop_flip, augment.crop_flip])
@pytest.mark.parametrize("count, processes", [(7, 2), (2, 3)])
def test_parts_of_a_batch_get_the_views_of_the_whole(function, count, processes, as_on_a_gpu):
    """Also a process that has none of the images."""
    images = some_images(count, 32)
    whole = function(images, 40, generator(2), **NORMALISE)
    views = len(whole) // count
    for number in range(processes):
        share = share_of(count, count, processes, number)
        own = function(images[share.rows], 40, generator(2), share=share, **NORMALISE)
        wanted = whole.unflatten(0, (views, count))[:, share.rows].flatten(0, 1)
        torch.testing.assert_close(own, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("function, side, size, most", [
    (augment.simclr_views, 64, 64, 100), (augment.simclr_views, 32, 32, 100), (augment.simclr_views, 256, 224, 100),
    (augment.random_resized_crop_flip, 256, 64, 25), (augment.crop_flip, 32, 32, 25), (augment.crop_flip, 64, 32, 25)])
def test_few_operations_one_copy_and_no_waiting(function, side, size, most):
    counts = []
    for count in (64, 8):
        images = torch.empty(count, side, side, 3, dtype=torch.uint8, device="meta")
        function(images, size, generator(), **NORMALISE)  # what is kept is made
        with Operations("meta") as seen:
            function(images, size, generator(1), **NORMALISE)
        assert seen.copies == 1
        counts.append(seen.total)
    assert counts[0] == counts[1] <= most
