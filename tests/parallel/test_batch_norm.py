"""Batch norm over processes is that of one process; here threads play the processes."""

import pytest
import torch
from torch import nn

from parallel import batch_norm
from tests.operations import Operations
from tests.processes import Processes


def backward_reduce(grad, images, mean, deviation, weight, *_):
    """As PyTorch's kernel for GPUs of this name, which nn.SyncBatchNorm calls in the same way."""
    axes = [0, *range(2, grad.ndim)]
    centred = images.transpose(1, -1) - mean
    sums, products = grad.sum(axes), (grad.transpose(1, -1) * centred).transpose(1, -1).sum(axes)
    return sums, products, products * deviation, sums


def backward_elemt(grad, images, mean, deviation, weight, sums, products, counts):
    assert counts.dtype == torch.int32 and counts.ndim == 1
    wide = [values.transpose(1, -1) for values in (grad, images)]
    slope = deviation ** 2 * products / counts.sum()
    return ((wide[0] - sums / counts.sum() - (wide[1] - mean) * slope) * deviation * weight).transpose(1, -1)


@pytest.fixture(params=["cpu", "cuda"])
def kernels(request, monkeypatch):
    """The halves of the gradient as on CPUs; and as on GPUs, whose two kernels are stood for by their formulas."""
    monkeypatch.setattr(torch, "batch_norm_backward_reduce", backward_reduce)
    monkeypatch.setattr(torch, "batch_norm_backward_elemt", backward_elemt)
    found = batch_norm._backward_of(request.param)
    monkeypatch.setattr(batch_norm, "_backward_of", lambda _: found)


def normed(layer, images, slopes, untracked=False):
    """Outputs, gradients and running statistics of a layer."""
    images.requires_grad_()
    layer.track_running_stats = not untracked
    outputs = layer(images)
    (outputs * slopes).sum().backward()
    return [outputs.detach(), images.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]


def layer_of(kind, channels, dtype):
    layer, random = kind(channels).to(dtype), torch.Generator().manual_seed(0)
    nn.init.normal_(layer.weight, generator=random)
    nn.init.normal_(layer.bias, generator=random)
    return layer


@pytest.mark.parametrize("shape", [(3,), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("parts", [(4, 5), (0, 7), (6, 0, 3), (0, 0, 2), (9,)], ids=str)
def test_processes_give_what_one_gives(parts, shape, kernels, monkeypatch):
    """Also where some have no images; in one collective forward and one backward, without asking for a value."""
    processes, count = Processes(len(parts)), sum(parts)
    monkeypatch.setattr(batch_norm, "dist", processes)
    images = 3 + 2 * torch.randn(count, *shape, generator=torch.Generator().manual_seed(1)).double()
    slopes = torch.randn(count, *shape, generator=torch.Generator().manual_seed(2)).double()
    kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    wanted = normed(layer_of(kind, 3, torch.float64), images.clone(), slopes)
    edges = [sum(parts[:k]) for k in range(len(parts) + 1)]
    layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format

    def work(rank):
        part = slice(edges[rank], edges[rank + 1])
        own = images[part].clone().contiguous(memory_format=layout)
        with Operations() as seen:
            found = normed(layer_of(batch_norm.SyncBatchNorm, 3, torch.float64), own, slopes[part])
        assert seen.asked == 0
        return found

    found = processes.run(work)
    assert processes.sums == 2
    near = {"rtol": 1e-11, "atol": 1e-12}
    for k in (0, 1):  # of images
        torch.testing.assert_close(torch.cat([own[k] for own in found]), wanted[k], **near)
    for k in (2, 3):  # of weights, which whoever trains adds up
        torch.testing.assert_close(sum(own[k] for own in found), wanted[k], **near)
    for k in (4, 5):
        for own in found:
            torch.testing.assert_close(own[k], wanted[k], **near)
            assert torch.equal(own[k], found[0][k])


def test_a_large_mean_costs_no_digits(monkeypatch):
    """In float32 a sum of squares around 1e8 knows nothing of a variance of 1."""
    processes = Processes(2)
    monkeypatch.setattr(batch_norm, "dist", processes)
    images = 1e4 + torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wanted = normed(layer_of(nn.BatchNorm2d, 3, torch.float64), images.double(), 1)
    found = processes.run(lambda rank: normed(layer_of(batch_norm.SyncBatchNorm, 3, torch.float32),
                                              images.split((24, 40))[rank].clone(), 1))
    torch.testing.assert_close(torch.cat([own[0] for own in found]).double(), wanted[0], rtol=0, atol=5e-3)
    torch.testing.assert_close(found[0][5].double(), wanted[5], rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype, kernels, monkeypatch):
    processes = Processes(2)
    monkeypatch.setattr(batch_norm, "dist", processes)
    images = (2 + torch.randn(600, 3, 4, 4, generator=torch.Generator().manual_seed(1))).to(dtype)
    slopes = torch.randn(600, 3, 4, 4, generator=torch.Generator().manual_seed(2)).to(dtype)
    wanted = normed(layer_of(nn.BatchNorm2d, 3, torch.float32), images.float(), slopes.float())
    found = processes.run(lambda rank: normed(layer_of(batch_norm.SyncBatchNorm, 3, torch.float32),
                                              images.chunk(2)[rank].clone(), slopes.chunk(2)[rank]))
    assert found[0][0].dtype == found[0][1].dtype == dtype and found[0][5].dtype == torch.float32
    torch.testing.assert_close(torch.cat([own[0] for own in found]).float(), wanted[0], rtol=1e-2, atol=2e-2)
    torch.testing.assert_close(found[0][4:], wanted[4:], rtol=1e-4, atol=1e-5)


def test_statistics_stay_where_they_are_not_tracked(monkeypatch):
    processes = Processes(2)
    monkeypatch.setattr(batch_norm, "dist", processes)
    found = processes.run(lambda rank: normed(layer_of(batch_norm.SyncBatchNorm, 3, torch.float32),
                                              torch.randn(4, 3, 2, 2), 1, untracked=True))
    assert found[0][4].eq(0).all() and found[0][5].eq(1).all()
