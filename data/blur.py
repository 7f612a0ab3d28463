"""Gaussian blur of a batch, each image with a kernel of its own."""

import torch

from data.crops import Taps, matrices

BLUR_SIGMA = (0.1, 2.0)  # px (Chen et al. 2020, appendix A)
LEAST_WEIGHT = 1e-5  # smaller ones are 0: denormal numbers are many times slower


def gaussian_weights(uniform, kernel):
    """Kernels of sigma between 0.1 and 2 px, in proportion to `uniform`; that of 0 does nothing.

    Args: uniform: float32 (n,) in [0, 1]. Returns: float32 (kernel, n), whose sums are 1.
    """
    low, high = BLUR_SIGMA
    sigma = low + (high - low) * uniform
    distance = torch.arange(kernel, device=uniform.device)[:, None] - kernel // 2
    weights = (-0.5 * (distance / sigma) ** 2).exp_()
    weights = torch.where(weights < LEAST_WEIGHT, 0, weights)
    return weights / weights.sum(0)


def gaussian_blur(planes, weights):
    """Blur each image with its kernel along both axes, with reflected borders.

    Args: planes: float32 (n, 3, size, size).
        weights: float32 (kernel, n), kernel odd, at most 2 size - 1.
    Returns: float32 (n, 3, size, size).
    """
    (kernel, count), size = weights.shape, planes.shape[2]
    pixels = reflected(size, kernel, planes.device)
    taps = Taps(pixels[:, None].expand(-1, count, -1), weights[..., None].expand(-1, -1, size))
    across = matrices(taps, size)
    return across[:, None] @ (planes.flatten(1, 2) @ across.mT).view_as(planes)


def reflected(size, kernel, device):
    """The pixels under a kernel at each of size pixels, reflected at the borders: int64 (kernel,
    size)."""
    reach = torch.arange(kernel, device=device)[:, None] - kernel // 2
    pixels = (torch.arange(size, device=device) + reach).abs_()
    return torch.minimum(pixels, 2 * (size - 1) - pixels)
