"""Batched augmentation on the device: every image with parameters of its own, no Python per image, no waiting.

Cropping, padding, flipping and resizing are linear in the rows and in the columns of an image, so together they are one
small matrix on each side: out = R_y . image . R_x^T. Batches are worked off in chunks whose temporaries stay in the
processor's cache; all parameters are drawn before, so the result does not depend on the chunks.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from data import color

CHUNK_PIXELS = 65536  # per chunk on a CPU: about 4 MiB of temporaries
CROP_ATTEMPTS = 10  # as torchvision's RandomResizedCrop
CROP_RATIO = (3 / 4, 4 / 3)  # width : height
BLUR_SIGMA = (0.1, 2.0)  # px (Chen et al. 2020, appendix A)
BLUR_MIN_SIZE = 40  # px a side; Chen et al. leave blur out for CIFAR-10


class Crops(NamedTuple):
    """Boxes of n crops: the edges between which the output's first and last row (0) and column (1) lie.

    first, last: float32 (2, n) in px from the image's top left corner; first > last where the crop is flipped.
    """

    first: torch.Tensor
    last: torch.Tensor


def simclr_views(images, size, generator, *, mean, std, crop_scale=0.08, blur=None):
    """Two SimCLR views of each image (Chen et al. 2020, appendix A), operator by operator as in torchvision.

    Resized crop, flip, colour jitter in a random order, greyscale, Gaussian blur, normalisation. Each draws per view,
    except for two draws that would make every view pay for what few need: the place of hue among the colour operators
    and whether to blur. A random permutation deals the views into equal groups, one for each of the 4 places (times
    blurred or not), so these are uniform for every view, and nearly independent between views: a group has its exact
    share instead of a random one. Spare views are drawn and dropped where 2B does not divide evenly.

    Args:
        images: uint8 (B, H, H, 3). size: px a side of the views. generator: torch.Generator on images.device.
        mean, std: three floats each, of RGB in [0, 1]. crop_scale: smallest share of the area, in (0, 1].
        blur: odd kernel size in px, at least 3; 0 for no blur; None for a tenth of size, none below 40 px.
    Returns: float32 (2B, 3, size, size), channels-last; rows i and B + i are views of image i.
    Raises: ValueError for arguments other than these.
    """
    count, side = _check(images, size), images.shape[1]
    kernel = _blur_kernel(size, blur)
    groups = [(slot, blurred) for slot in range(4) for blurred in ((False, True) if kernel else (False,))]
    group_size = -(-2 * count // len(groups))
    total = group_size * len(groups)
    draw = {"generator": generator, "device": images.device}
    order = torch.rand(total, **draw).argsort()
    crops = draw_crops(total, side, crop_scale, **draw)
    jitter = color.draw_jitter(total, **draw)
    sigma = BLUR_SIGMA[0] + (BLUR_SIGMA[1] - BLUR_SIGMA[0]) * torch.rand(total, **draw)

    stored = images.permute(0, 1, 3, 2).contiguous()
    views = images.new_empty((total, size, size, 3), dtype=torch.float32)
    for group, (slot, blurred) in enumerate(groups):
        for part in _chunks(images, size, group * group_size, (group + 1) * group_size):
            chosen = order[part]
            planes = _crop(stored.index_select(0, chosen % count), _rows(crops, part), size)
            pixels, parameters = planes.flatten(2), _rows(jitter, part)
            color.jitter(pixels, parameters, slot)
            if blurred:
                pixels = gaussian_blur(planes, sigma[part], kernel).flatten(2)
            done = color.normalise(pixels, mean, std, parameters.grey)
            views.index_copy_(0, chosen, done.view(-1, size, size, 3))
    return views[:2 * count].permute(0, 3, 1, 2)


def random_resized_crop_flip(images, size, generator, *, mean, std, crop_scale=0.08):
    """Random resized crop and horizontal flip, as torchvision's RandomResizedCrop(size, (crop_scale, 1)).

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last.
    Raises: ValueError for arguments other than these.
    """
    count = _check(images, size)
    crops = draw_crops(count, images.shape[1], crop_scale, generator, images.device)
    return _crop_all(images, crops, size, mean, std)


def crop_flip(images, size, generator, *, mean, std):
    """Pad each side by an eighth with black, crop at random to the size before, flip, then resize.

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last; the padding is black before normalisation.
    Raises: ValueError for arguments other than these.
    """
    count, side = _check(images, size), images.shape[1]
    pad = side // 8
    uniform = torch.rand(3, count, generator=generator, device=images.device)
    first = (uniform[:2] * (2 * pad + 1)).floor_().clamp_(max=2 * pad).sub_(pad)
    return _crop_all(images, _flipped(first, first + side, uniform[2] < 0.5), size, mean, std, pad)


def resize(images, size, *, mean, std):
    """Resize with antialiasing and normalise: nothing random, for evaluation.

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last.
    Raises: ValueError for arguments other than these.
    """
    _check(images, size)
    pixels = images.permute(0, 3, 1, 2).float()
    if size != images.shape[1]:
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    scale = color.constant(tuple(1 / (255 * s) for s in std), images.device)[:, None, None]
    offset = color.constant(tuple(-m / s for m, s in zip(mean, std)), images.device)[:, None, None]
    return torch.addcmul(offset, pixels, scale).contiguous(memory_format=torch.channels_last)


def draw_crops(count, side, crop_scale, generator, device):
    """Draw the boxes of torchvision's RandomResizedCrop and a flip of probability 0.5.

    Boxes are whole pixels: the first of ten attempts that fits, else the whole image.

    Args: count: number of crops. side: px a side of the images. crop_scale: smallest share of the area, in (0, 1].
    Returns: Crops.
    """
    if not 0 < crop_scale <= 1:
        raise ValueError(f"crop_scale is {crop_scale}, expected a share of the area in (0, 1]")
    uniform = torch.rand(2 * CROP_ATTEMPTS + 3, count, generator=generator, device=device)
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


def resampling(first, last, size, side, pad=0):
    """Matrices that cut out, flip and resize one axis, with the antialiased triangular filter of torchvision.

    Args:
        first, last: float32 (n,), edges of the crop in px; first > last flips.
        size: px after, side: px before. pad: px of black around the image that the crop may reach into.
    Returns: float32 (n, size, side); rows sum to 1 where nothing is black.
    """
    step = ((last - first) / size)[:, None]
    width = step.abs().clamp_(min=1)
    steps = torch.arange(0.5, size, device=first.device)
    centre = torch.addcmul(first[:, None], step, steps)
    pixel = torch.arange(0.5 - pad, side + pad, device=first.device)
    inside = (pixel > torch.minimum(first, last)[:, None]) & (pixel < torch.maximum(first, last)[:, None])
    position = torch.where(inside, pixel / width, torch.inf)
    # Weights with the sign turned round, which dividing by their sum undoes, save a pass.
    weights = (position[:, None] - (centre / width)[:, :, None]).abs_().sub_(1).clamp_(max=0)
    weights.div_(weights.sum(2, keepdim=True))
    return weights[:, :, pad:pad + side]


def gaussian_blur(planes, sigma, kernel):
    """Blur each image, with reflected borders.

    Args: planes: float32 (3, n, h, w). sigma: float32 (n,) in px. kernel: odd size in px.
    Returns: float32 (3, n, h, w).
    """
    reach = kernel // 2
    distance = torch.arange(-reach, reach + 1, device=planes.device)
    weights = (-0.5 * (distance / sigma[:, None]) ** 2).exp_()
    weights = torch.where(weights < 1e-5, 0, weights)  # denormal numbers are many times slower
    weights = (weights / weights.sum(1, keepdim=True))[:, None]
    count = len(sigma)
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), "reflect"), weights[..., None], groups=count)
    return F.conv2d(F.pad(planes, (reach, reach, 0, 0), "reflect"), weights[:, :, None], groups=count)


def _check(images, size):
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, expected uint8 (B, H, H, 3)")
    if size < 1:
        raise ValueError(f"size is {size} px, expected at least 1")
    return len(images)


def _blur_kernel(size, blur):
    if blur is None:
        return size // 10 | 1 if size >= BLUR_MIN_SIZE else 0
    if blur and (blur < 3 or blur % 2 == 0 or blur // 2 >= size):
        raise ValueError(f"blur is {blur} px, expected 0 or an odd number from 3 to {2 * size - 1}")
    return blur


def _flipped(first, last, flip):
    """Crops from (2, n) edges, the columns of some in reverse."""
    columns = torch.where(flip, last[1], first[1]), torch.where(flip, first[1], last[1])
    return Crops(torch.stack((first[0], columns[0])), torch.stack((last[0], columns[1])))


def _chunks(images, size, start, stop):
    """Slices of start:stop, small enough for the cache on a CPU and everything at once elsewhere."""
    step = stop - start
    if images.device.type == "cpu":
        step = max(1, CHUNK_PIXELS // max(images.shape[1], size) ** 2)
    return [slice(k, min(k + step, stop)) for k in range(start, stop, max(1, step))]


def _rows(parameters, part):
    return type(parameters)(*(values[..., part] for values in parameters))


def _crop(stored, crops, size, pad=0):
    """uint8 (n, H, 3, H) and Crops of n -> planes (3, n, size, size) in [0, 1]."""
    count, side = stored.shape[:2]
    matrices = resampling(crops.first.flatten(), crops.last.flatten(), size, side, pad)
    down, across = matrices[:count], matrices[count:].transpose(1, 2)
    # Channels between rows and columns: both products read and write them where they lie, without a copy.
    rows = torch.bmm(down, stored.float().div_(255).view(count, side, 3 * side)).view(count, size, 3, side)
    planes = rows.new_empty(3, count, size, size)
    for channel in range(3):
        torch.bmm(rows[:, :, channel], across, out=planes[channel])
    return planes


def _crop_all(images, crops, size, mean, std, pad=0):
    result = images.new_empty((len(images), size, size, 3), dtype=torch.float32)
    for part in _chunks(images, size, 0, len(images)):
        stored = images[part].permute(0, 1, 3, 2).contiguous()
        planes = _crop(stored, _rows(crops, part), size, pad).flatten(2)
        result[part] = color.normalise(planes, mean, std).view(-1, size, size, 3)
    return result.permute(0, 3, 1, 2)
