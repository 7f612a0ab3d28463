"""3x3 convolutions of the tiny maps that a ResNet ends in where images are small."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

PIXELS, WINDOWS = 3, 4  # px a side up to which a map is computed by pixels, and by windows


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution that on a CPU computes tiny maps as products of matrices, on which there
    convolutions spend several times the work (ResNet-18 at 32 px ends in maps of 1x1): one product a
    pixel, or in bfloat16 on tiles (Intel's AMX), where maps of 3x3 fill them no better, one of all
    windows."""

    def forward(self, x):
        """x: (B, C, H, W) -> (B, C', H', W'), as nn.Conv2d but for rounding."""
        side = max(x.shape[2:])
        if side > WINDOWS or x.device.type != "cpu":
            return super().forward(x)
        if side >= PIXELS and self.stride == (1, 1) and _on_tiles(x):
            return _Windows.apply(x, self.weight.to(x))
        if side > PIXELS:
            return super().forward(x)
        height, width = x.shape[2:]
        x, kernel = x.permute(0, 2, 3, 1), self.weight.permute(0, 2, 3, 1)
        rows = [torch.stack([_pixel(x, kernel, i, j) for j in range(0, width, self.stride[1])], 1)
                for i in range(0, height, self.stride[0])]
        return torch.stack(rows, 1).permute(0, 3, 1, 2)


def _on_tiles(x):
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)  # not in every PyTorch
    return x.dtype == torch.bfloat16 and supported is not None and supported()


def _pixel(x, kernel, i, j):
    """The convolution at one pixel: the part of the kernel inside the map, times the map."""
    inside = x[:, max(0, i - 1):i + 2, max(0, j - 1):j + 2]
    top, left = max(0, 1 - i), max(0, 1 - j)
    part = kernel[:, top:top + inside.shape[1], left:left + inside.shape[2]]
    return F.linear(inside.flatten(1), part.flatten(1))


class _Windows(torch.autograd.Function):
    """A 3x3 convolution of stride 1, padded with zeros, as the product of all windows with the
    kernel (im2col). x: (B, C, H, W), weight: (C', C, 3, 3) of the same dtype."""

    @staticmethod
    def forward(ctx, x, weight):
        windows = _windows(x)
        ctx.save_for_backward(windows, weight)
        kernel = weight.permute(0, 2, 3, 1).flatten(1)
        return _map_of(windows @ kernel.T, x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        windows, weight = ctx.saved_tensors
        channels = grad.permute(0, 2, 3, 1).flatten(0, 2)
        of_weight = (channels.T @ windows).unflatten(1, (3, 3, weight.shape[1])).permute(0, 3, 1, 2)
        turned = weight.flip(2, 3).permute(1, 2, 3, 0).flatten(1)
        return _map_of(_windows(grad) @ turned.T, grad), of_weight


def _windows(x):
    """The 3x3 windows around each pixel: (B, C, H, W) -> (B * H * W, 9 * C)."""
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, 1).unfold(2, 3, 1)  # (B, H, W, C, 3, 3)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[1])


def _map_of(pixels, like):
    """(B * H * W, C) -> (B, C, H, W), channels-last, of the shape of another map."""
    count, _, height, width = like.shape
    return pixels.unflatten(0, (count, height, width)).permute(0, 3, 1, 2)
