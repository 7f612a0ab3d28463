"""3x3 convolutions of the tiny maps that a ResNet ends in where images are small."""

import itertools

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

WHOLE = 2  # px a side of a map that is multiplied as a whole, at most
# Px a side of an output that is made from windows, at most; and with Intel's AMX, whose tiles a
# convolution of such maps does not fill.
WINDOWS, ON_TILES = 3, 4


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution, padded with zeros, that on a CPU computes tiny maps as one product of
    matrices: on these, convolutions spend several times the work. (ResNet-18 at 32 px ends in maps
    of 1x1.)"""

    def forward(self, x):
        """x: (B, C, H, W) -> (B, C', H', W'), as nn.Conv2d but for rounding."""
        side, stride = max(x.shape[2:]), self.stride[0]
        multiply = _Whole if side <= WHOLE else _Windows
        most = ON_TILES if _on_tiles(x) else WINDOWS
        if x.device.type != "cpu" or (side - 1) // stride + 1 > most:
            return super().forward(x)
        return multiply.apply(x, self.weight.to(x), stride)


def _on_tiles(x):
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)  # not in every PyTorch
    return x.dtype == torch.bfloat16 and supported is not None and supported()


class _Whole(torch.autograd.Function):
    """All pixels of a map of up to 2x2 times all of the output: a matrix with, for each pair of
    pixels, the part of the kernel between them. x: (B, C, H, W), weight: (C', C, 3, 3)."""

    @staticmethod
    def forward(ctx, x, weight, stride):
        kernel, (height, width) = weight.permute(2, 3, 0, 1), x.shape[2:]
        pixels = [range(0, side, stride) for side in (height, width)]
        parts = [(slice(1 - i, 1 - i + height), slice(1 - j, 1 - j + width))
                 for i, j in itertools.product(*pixels)]
        matrix = torch.stack([kernel[part].permute(2, 0, 1, 3) for part in parts])
        matrix = matrix.view(-1, height * width * weight.shape[1])
        rows = x.permute(0, 2, 3, 1).flatten(1)
        ctx.save_for_backward(rows, matrix)
        ctx.parts, ctx.shape = parts, (height, width, *weight.shape[:2])
        return (rows @ matrix.T).unflatten(1, (*map(len, pixels), len(weight))).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (rows, matrix), (height, width, after, before) = ctx.saved_tensors, ctx.shape
        grad = grad.permute(0, 2, 3, 1).flatten(1)
        of_matrix = (grad.T @ rows).view(-1, after, height, width, before).permute(0, 2, 3, 1, 4)
        of_kernel = _sums(grad, 3, 3, after, before)
        for part, of_part in zip(ctx.parts, of_matrix):
            of_kernel[part] += of_part
        of_x = (grad @ matrix).unflatten(1, (height, width, before)).permute(0, 3, 1, 2)
        return of_x, of_kernel.permute(2, 3, 0, 1).to(grad), None


class _Windows(torch.autograd.Function):
    """All 3x3 windows of a map times the kernel (im2col). x: (B, C, H, W), weight: (C', C, 3, 3)."""

    @staticmethod
    def forward(ctx, x, weight, stride):
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        windows = padded.unfold(1, 3, stride).unfold(2, 3, stride)  # (B, H', W', C, 3, 3)
        shape = windows.shape[:3]
        windows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[1])
        ctx.save_for_backward(windows, weight)
        ctx.stride, ctx.shape = stride, padded.shape
        kernel = weight.permute(0, 2, 3, 1).flatten(1)
        return (windows @ kernel.T).unflatten(0, shape).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (windows, weight), stride = ctx.saved_tensors, ctx.stride
        height, width = grad.shape[2:]
        grad = grad.permute(0, 2, 3, 1).flatten(0, 2)
        kernel = weight.permute(0, 2, 3, 1)
        of_kernel = (grad.T @ windows).view(kernel.shape)
        of_windows = (grad @ kernel.flatten(1)).unflatten(0, (-1, height, width))
        of_windows = of_windows.unflatten(3, kernel.shape[1:])
        of_padded = _sums(grad, *ctx.shape)
        for i, j in itertools.product(range(3), range(3)):
            of_padded[:, i:i + stride * height:stride, j:j + stride * width:stride] += (
                of_windows[:, :, :, i, j])
        of_x = of_padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2).to(grad)
        return of_x, of_kernel.permute(0, 3, 1, 2), None


def _sums(like, *shape):
    """Zeros to add to: at least float32, as a convolution adds up."""
    return like.new_zeros(shape, dtype=torch.promote_types(like.dtype, torch.float32))
