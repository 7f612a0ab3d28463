"""Tiny maps: products of matrices give what a convolution gives, and the same gradients."""

import pytest
import torch
from torch.nn import functional as F

from supervised import convolution


def gradients_of(convolve, x, weight):
    """The output, and its gradients for a map and a kernel."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    out = convolve(x, weight)
    torch.manual_seed(1)
    return out, *torch.autograd.grad(out, (x, weight), torch.randn(out.shape).to(out))


def maps(height, width, dtype=torch.float64):
    torch.manual_seed(0)
    return torch.randn(3, 5, height, width).to(dtype), torch.randn(7, 5, 3, 3).to(dtype)


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height, width", [(1, 1), (2, 2), (2, 3), (3, 3), (4, 4), (4, 3), (5, 5)])
def test_equals_a_convolution(monkeypatch, height, width, stride, tiles):
    monkeypatch.setattr(convolution, "_on_tiles", lambda x: tiles)
    ours = convolution.SmallMapConv2d(5, 7, 3, stride=stride, padding=1, bias=False).double()

    def convolve(x, weight):
        return torch.func.functional_call(ours, {"weight": weight}, x)

    x, weight = maps(height, width)
    wanted = gradients_of(lambda x, weight: F.conv2d(x, weight, stride=stride, padding=1), x, weight)
    for found, right in zip(gradients_of(convolve, x, weight), wanted):
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_it_works_in_bfloat16_under_autocast(monkeypatch, side):
    monkeypatch.setattr(convolution, "_on_tiles", lambda x: True)
    ours, (x, _) = convolution.SmallMapConv2d(5, 7, 3, padding=1, bias=False), maps(side, side)
    wanted = gradients_of(lambda x, weight: F.conv2d(x, weight, padding=1), x, ours.weight.detach().double())

    def convolve(x, weight):
        with torch.autocast("cpu", torch.bfloat16):
            return torch.func.functional_call(ours, {"weight": weight}, x)

    found = gradients_of(convolve, x.bfloat16(), ours.weight.detach())
    assert [tensor.dtype for tensor in found] == [torch.bfloat16, torch.bfloat16, torch.float32]
    for tensor, right in zip(found, wanted):
        torch.testing.assert_close(tensor.double(), right, rtol=0.02, atol=0.02 * float(right.detach().abs().max()))


@pytest.mark.parametrize("tiles, sides", [(True, [1, 2, 3, 4]), (False, [1, 2, 3])])
def test_larger_maps_are_convolved(monkeypatch, tiles, sides):
    monkeypatch.setattr(convolution, "_on_tiles", lambda x: tiles)
    layer, convolved = convolution.SmallMapConv2d(5, 7, 3, padding=1, bias=False), []
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, x: convolved.append(x.shape[2]))
    for side in range(1, 7):
        layer(torch.zeros(2, 5, side, side))
    assert convolved == [side for side in range(1, 7) if side not in sides]


def test_an_empty_part_of_a_batch_goes_through(monkeypatch):
    monkeypatch.setattr(convolution, "_on_tiles", lambda x: True)
    for side in (1, 3, 4):
        layer = convolution.SmallMapConv2d(5, 7, 3, padding=1, bias=False)
        out = layer(torch.zeros(0, 5, side, side, requires_grad=True))
        assert out.shape == (0, 7, side, side)
        out.sum().backward()
