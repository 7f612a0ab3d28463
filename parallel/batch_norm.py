"""Batch norm over the images of all processes, some of which may have none.

One collective forward and one backward; no process waits for its device. torch.nn.SyncBatchNorm
asks the device which processes had images, in each layer of each step.
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """torch.nn.SyncBatchNorm, on CPUs, too."""

    def _check_input_dim(self, images):
        pass  # of any: BatchNorm1d, 2d and 3d differ in nothing else

    def forward(self, images):
        """images: (B, C, ...), B may be 0 in some processes -> the same shape and dtype."""
        if not self.training:
            return super().forward(images)
        outputs, mean, variance, count = _Normalise.apply(images, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return outputs


class _Normalise(torch.autograd.Function):
    """(outputs, mean (C,), biased variance (C,), number of values of a channel), the last three
    without gradients. Those of weight and bias are of the own images: whoever adds up the
    gradients of all processes adds these, too."""

    @staticmethod
    def forward(ctx, images, weight, bias, eps):
        images = _dense(images)
        mean, variance, counts = _moments(images)
        ctx.save_for_backward(images, weight, mean, (variance + eps).rsqrt(), counts)
        outputs = F.batch_norm(images, mean, variance, weight, bias, eps=eps)
        found = mean, variance, counts.sum()
        ctx.mark_non_differentiable(*found)
        return outputs, *found

    @staticmethod
    def backward(ctx, grad, *_):
        images, weight, mean, deviation, counts = ctx.saved_tensors
        grad, sums = _dense(grad), torch.zeros(2, len(mean), dtype=mean.dtype, device=mean.device)
        reduced, spread = _backward_of(images.device.type)
        if images.numel():
            sums = torch.stack(reduced(grad, images, mean, deviation, weight, True, True, True)[:2])
        total = sums.clone()
        dist.all_reduce(total)
        inputs = torch.empty_like(images)
        if images.numel():
            inputs = spread(grad, images, mean, deviation, weight, *total, counts.int())
        return inputs, sums[1] * deviation, sums[0], None


def _moments(images):
    """Mean and biased variance of each channel over all processes, and how many values of a channel
    each process has: (C,), (C,), (processes,), of the same float dtype.

    Each process fills in a row of a table of zeros, and the sum of all tables is what each had to
    say: one collective that gloo has as well as nccl. Means and variances, not sums of squares, are
    combined (Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample
    variances"), so that no digits are lost where the mean is large.
    """
    channels, wide = images.shape[1], _wide(images)
    table = torch.zeros(dist.get_world_size(), 2 * channels + 1, device=images.device,
                        dtype=torch.float64 if images.dtype == torch.float64 else torch.float32)
    if images.numel():
        own = torch.batch_norm_update_stats(wide, None, None, 0.0)
        row = torch.cat([*own, own[0].new_full((1,), images.numel() // channels)])
        table[dist.get_rank()].copy_(row)
    dist.all_reduce(table)
    means, variances, counts = table.split([channels, channels, 1], 1)
    shares = counts / counts.sum()
    mean = (shares * means).sum(0)
    variance = (shares * (variances + (means - mean).square())).sum(0)
    return mean, variance, counts.flatten()


def _backward_of(device):
    """The two halves of batch norm's gradient, before and after the sums of all processes meet, as
    PyTorch has them in one pass each for GPUs. Args: device: its type."""
    if device == "cpu":
        return _reduced, _spread
    return torch.batch_norm_backward_reduce, torch.batch_norm_backward_elemt


def _reduced(grad, images, mean, *_):
    """Sums of the gradient, and of its products with the centred images: (C,) each."""
    grad, centred = _wide(grad), _wide(images) - _along(mean, images)
    others = [axis for axis in range(images.ndim) if axis != 1]
    return grad.sum(others), (grad * centred).sum(others)


def _spread(grad, images, mean, deviation, weight, sums, products, counts):
    """The gradient of the images. Args: deviation: one over the standard deviation; sums, products:
    as `_reduced`, of all processes; counts: int32 (processes,) values of a channel."""
    centred, count = _wide(images) - _along(mean, images), counts.sum()
    slope = deviation.square() * products / count
    found = _wide(grad) - _along(sums / count, images) - centred * _along(slope, images)
    return (found * _along(weight * deviation, images)).to(images.dtype)


def _along(values, images):
    """(C,) values as a factor of images (B, C, ...)."""
    return values.view(-1, *[1] * (images.ndim - 2))


def _wide(images):
    """Images in the dtype of their sums: the kernels for GPUs add up in float32 by themselves."""
    narrow = images.device.type == "cpu" and images.dtype in (torch.bfloat16, torch.float16)
    return images.float() if narrow else images


def _dense(values):
    """Values in one of the two orders of memory that the kernels know."""
    channels_last = torch.channels_last if values.ndim == 4 else torch.contiguous_format
    return values if values.is_contiguous(memory_format=channels_last) else values.contiguous()
