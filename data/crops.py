"""Crops, flips and resizing of a batch as two steps: gather and weigh the rows, then multiply each
image by a matrix that does the same to its columns."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

CROP_ATTEMPTS = 10  # as torchvision's RandomResizedCrop
CROP_RATIO = (3 / 4, 4 / 3)  # width : height


class Crops(NamedTuple):
    """Boxes of n crops: the edges of the result's first and last row (0) and column (1).

    first, last: float32 (2, n) in px from the image's top left corner; first > last where the crop
    is flipped.
    """

    first: torch.Tensor
    last: torch.Tensor


class Taps(NamedTuple):
    """Which pixels of an axis make up those of the result.

    pixels: int64 (taps, n, size). weights: float32 (taps, n, size), whose sum over the taps is 1.
    """

    pixels: torch.Tensor
    weights: torch.Tensor


def draw_crops(count, side, crop_scale, generator):
    """Draw the boxes of torchvision's RandomResizedCrop and a flip of probability 0.5.

    Boxes are whole pixels: the first of ten attempts that fits, else the whole image.

    Args: count: number of crops. side: px a side of the images.
        crop_scale: smallest share of the area, in (0, 1].
    Returns: Crops.
    """
    if not 0 < crop_scale <= 1:
        raise ValueError(f"crop_scale is {crop_scale}, expected a share of the area in (0, 1]")
    uniform = torch.rand(2 * CROP_ATTEMPTS + 3, count, generator=generator)
    area = side ** 2 * (crop_scale + (1 - crop_scale) * uniform[:CROP_ATTEMPTS])
    low, high = map(math.log, CROP_RATIO)
    ratio = (low + (high - low) * uniform[CROP_ATTEMPTS:2 * CROP_ATTEMPTS]).exp_()
    lengths = torch.stack((area / ratio, area * ratio)).sqrt_().round_()
    lengths = F.pad(lengths, (0, 0, 0, 1), value=side)
    fits = ((lengths > 0) & (lengths <= side)).all(0)
    first_fit = fits.byte().argmax(0).expand(2, 1, count)
    length = lengths.gather(1, first_fit).squeeze(1)
    # The product can round up to side + 1 - length itself.
    start = (uniform[-3:-1] * (side + 1 - length)).floor_().minimum(side - length)
    return _flipped(start, start + length, uniform[-1] < 0.5)


def resampling(first, last, size, side):
    """Cut out, flip and resize one axis, with the antialiased triangular filter of torchvision.

    Args:
        first, last: float32 (n,), edges of the crop in px; first > last flips.
        size: px after, side: px before.
    Returns: Taps.
    """
    step = ((last - first) / size)[:, None]
    width = step.abs().clamp_(min=1)
    steps = torch.arange(0.5, size, device=first.device)
    centre = torch.addcmul(first[:, None], step, steps)
    taps = torch.arange(math.ceil(2 * max(1, side / size)), device=first.device)[:, None, None]
    pixels = (centre - width + 0.5).floor_() + taps
    low, high = torch.minimum(first, last)[:, None], torch.maximum(first, last)[:, None]
    weights = 1 - ((pixels + 0.5 - centre) / width).abs_()
    weights = weights.clamp_(min=0) * ((pixels >= low) & (pixels < high))
    weights /= weights.sum(0)
    return Taps(pixels.clamp_(0, side - 1).long(), weights)


def taps_of(crops, size, side):
    """Taps of rows and of columns; those of rows also bring uint8 into [0, 1]."""
    down, across = (resampling(crops.first[axis], crops.last[axis], size, side) for axis in (0, 1))
    return Taps(down.pixels, down.weights / 255), across


def part_of(taps, part):
    """The taps of some of the images. Args: part: a slice."""
    return Taps(taps.pixels[:, part], taps.weights[:, part])


def crop(source, chosen, down, across):
    """Crops, in [0, 1], of the chosen images (int64 (n,)) of a source, uint8 (B, 3, H, H).

    Returns: float32 (n, 3, size, size).
    """
    side, device = source.shape[2], source.device
    starts = (3 * chosen[:, None] + torch.arange(3, device=device)) * side
    rows = _weighted_sum(source.view(-1, side), down, starts)
    return (rows.flatten(1, 2) @ matrices(across, side).mT).view(*rows.shape[:3], -1)


def matrices(taps, side):
    """Taps as matrices (n, size, side): times a column of pixels they are its weighted sums."""
    pixels, weights = (values.permute(1, 2, 0) for values in taps)
    return weights.new_zeros(*weights.shape[:2], side).scatter_add_(2, pixels, weights)


def _weighted_sum(lines, taps, starts):
    """Sums of the lines that taps pick, for each of an image's parts.

    Args: lines: (any, length). starts: int64 (n, parts), the lines with which the parts begin.
    Returns: float32 (n, parts, size, length).
    """
    total = None
    for pixels, weights in zip(taps.pixels, taps.weights):
        numbers, weights = pixels[:, None] + starts[..., None], weights[:, None, :, None]
        picked = lines.index_select(0, numbers.flatten()).float().view(*numbers.shape, -1)
        total = picked.mul_(weights) if total is None else total.addcmul_(picked, weights)
    return total


def _flipped(first, last, flip):
    """Crops from (2, n) edges, the columns of some in reverse."""
    columns = torch.where(flip, last[1], first[1]), torch.where(flip, first[1], last[1])
    return Crops(torch.stack((first[0], columns[0])), torch.stack((last[0], columns[1])))
