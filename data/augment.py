"""Batched augmentation on the device: every image with parameters of its own, no Python for each,
no waiting.

Cropping, flipping and resizing act on rows and on columns alone: each row of the result is a
weighted sum of a few rows of the image (two, if nothing shrinks), and each column likewise. So
they are one step: gather the rows, then multiply each image by a matrix that does the same to its
columns. On a CPU batches are worked off in chunks whose temporaries stay in the processor's cache;
elsewhere all at once (data/at_once.py). All parameters are drawn before, on the CPU, so the result
depends on neither.
"""

import itertools

import torch
import torch.nn.functional as F

from data import at_once, color
from data.blur import gaussian_blur, gaussian_weights
from data.crops import Crops, crop, draw_crops, part_of, taps_of

CHUNK_PIXELS = 65536  # per chunk and thread of a CPU: about 2 MiB of temporaries
HUE_SLOTS = (0, 1, 2, 3, None)  # None: no jitter; its probability is 0.8 (Chen et al. 2020, app. A)
BLUR_MIN_SIZE = 40  # px a side; Chen et al. leave blur out for CIFAR-10


def simclr_views(images, size, generator, *, mean, std, crop_scale=0.08, color_strength=1.0,
                 blur=None, share=None):
    """Two SimCLR views of each image (Chen et al. 2020, app. A), each operator as torchvision's.

    Resized crop, flip, colour jitter in a random order, greyscale, Gaussian blur, normalisation.
    Each view draws for itself, except where every view would have to pay for what some need: the
    place of hue among the colour operators (4, or no jitter at all: 5 cases of probability 0.2)
    and whether to blur. A random permutation deals the views into one group of equal size for each
    case. So cases are uniform for every view and nearly independent between views: a batch has the
    exact share of each instead of a random one. Spare views fill the groups up and are dropped.

    Args:
        images: uint8 (B, H, H, 3). size: px a side of the views.
        generator: torch.Generator on the CPU. mean, std: three floats each, of RGB in [0, 1].
        crop_scale: smallest share of the area, in (0, 1].
        color_strength: s of Chen et al., app. A: of the jitter, not of greyscale; 0 to 1.25.
        blur: odd kernel size in px, at least 3; 0 for no blur; None for a tenth of size, none below
            40 px.
        share: distributed.Share where the images are part of a batch: they get the views that the
            whole batch would give them. None: they are the whole.
    Returns: float32 (2B, 3, size, size), channels-last; rows i and B + i are views of image i.
    Raises: ValueError for arguments other than these.
    """
    side = _check(images, size)
    rows, count = _rows(images, share)
    kernel = _blur_kernel(size, blur)
    cases = list(itertools.product(HUE_SLOTS, (False, True) if kernel else (False,)))
    total = -(-2 * count // len(cases)) * len(cases)
    order = torch.rand(total, generator=generator).argsort()
    crops = draw_crops(total, side, crop_scale, generator)
    jitter = color.draw_jitter(total, generator, color_strength)
    sigma = torch.rand(total, generator=generator)

    groups, places, targets = _deal(order, len(cases), rows, count)
    crops, jitter = Crops(*_picked(crops, places)), color.Jitter(*_picked(jitter, places))
    if at_once.pays(images.device):
        blurred = places * len(cases) // total % 2 if kernel else None
        weights = gaussian_weights(sigma[places] * blurred, kernel) if kernel else None
        edges = [groups[k][0] for k in range(0, len(cases), len(cases) // len(HUE_SLOTS))]
        return at_once.simclr_views(images, size, crops, jitter, edges, weights, targets, mean, std)
    down, across = taps_of(crops, size, side)
    blur_weights = gaussian_weights(sigma[places], kernel)
    source = _planes(images)
    views = images.new_empty((2 * len(images), size, size, 3), dtype=torch.float32)
    for (hue_slot, blurred), (start, stop) in zip(cases, groups):
        for part in _chunks(images, size, start, stop):
            chosen = targets[part]
            planes = crop(source, chosen % len(images), part_of(down, part), part_of(across, part))
            parameters = color.Jitter(*(values[..., part] for values in jitter))
            if hue_slot is not None:
                color.jitter(planes.flatten(2), parameters, hue_slot)
            if blurred:
                planes = gaussian_blur(planes, blur_weights[:, part])
            color.normalise(planes.flatten(2), mean, std, parameters.grey)
            views.index_copy_(0, chosen, planes.permute(0, 2, 3, 1).contiguous())
    return views.permute(0, 3, 1, 2)


def _deal(order, cases, rows, count):
    """Which of the drawn views are those of some images of a batch, case by case.

    Args: order: int64 (total,), the view at each place, cases groups of equal size one after the
            other. rows: int64 (n,) positions of the images in the batch of count.
    Returns: ([(start, stop)] of each group among them, int64 (2n,) their places in the order,
        int64 (2n,) their rows among the 2n views).
    """
    own = torch.full((len(order),), -1)
    own[rows] = torch.arange(len(rows))
    own[count + rows] = torch.arange(len(rows)) + len(rows)
    targets = own[order]
    places = torch.nonzero(targets >= 0).flatten()
    edges = torch.searchsorted(places, torch.arange(cases + 1) * (len(order) // cases)).tolist()
    return list(itertools.pairwise(edges)), places, targets[places]


def random_resized_crop_flip(images, size, generator, *, mean, std, crop_scale=0.08, share=None):
    """Random resized crop as torchvision's RandomResizedCrop(size, (crop_scale, 1)), and flip.

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last.
    Raises: ValueError for arguments other than these.
    """
    side = _check(images, size)
    rows, count = _rows(images, share)
    crops = Crops(*_picked(draw_crops(count, side, crop_scale, generator), rows))
    if at_once.pays(images.device):
        return at_once.cropped_views(images, size, crops, mean, std)
    down, across = taps_of(crops, size, side)
    source, which = _planes(images), torch.arange(len(images))
    views = images.new_empty((len(images), size, size, 3), dtype=torch.float32)
    for part in _chunks(images, size, 0, len(images)):
        planes = crop(source, which[part], part_of(down, part), part_of(across, part))
        color.normalise(planes.flatten(2), mean, std)
        views[part] = planes.permute(0, 2, 3, 1)
    return views.permute(0, 3, 1, 2)


def crop_flip(images, size, generator, *, mean, std, share=None):
    """Pad each side by an eighth with black, crop at random to the size before, flip, then resize.

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last; black is (0 - mean) / std.
    Raises: ValueError for arguments other than these.
    """
    side = _check(images, size)
    rows, count = _rows(images, share)
    pad = side // 8
    uniform, = at_once.sent(images.device, torch.rand(3, count, generator=generator)[:, rows])
    top, left = (uniform[:2] * (2 * pad + 1)).long().clamp_(max=2 * pad)
    # All windows of a padded row of pixels begin three bytes apart.
    windows = F.pad(images, (0, 0, pad, pad, pad, pad)).flatten(2).unfold(2, 3 * side, 3)
    lines = top[:, None] + torch.arange(side, device=images.device)
    which = torch.arange(len(images), device=images.device)[:, None]
    crops = windows[which, lines, left[:, None]].view(images.shape)
    flip = (uniform[2] < 0.5)[:, None, None, None]
    return resize(torch.where(flip, crops.flip(2), crops), size, mean=mean, std=std)


def resize(images, size, *, mean, std):
    """Resize with antialiasing and normalise: nothing random, for evaluation.

    Args: as `simclr_views`.
    Returns: float32 (B, 3, size, size), channels-last.
    Raises: ValueError for arguments other than these.
    """
    count, side = len(images), _check(images, size)
    scale = color.constant(tuple(1 / (255 * s) for s in std) * side, images.device)
    offset = color.constant(tuple(-m / s for m, s in zip(mean, std)) * side, images.device)
    pixels = torch.addcmul(offset, images.flatten(2).float(), scale)
    pixels = pixels.view(count, side, side, 3).permute(0, 3, 1, 2)
    if size == side:
        return pixels
    return F.interpolate(pixels, (size, size), mode="bilinear",
                         antialias=True).contiguous(memory_format=torch.channels_last)


def _check(images, size):
    square = images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] == 3
    if images.dtype != torch.uint8 or not square:
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, "
                         "expected uint8 (B, H, H, 3)")
    if size < 1:
        raise ValueError(f"size is {size} px, expected at least 1")
    return images.shape[1]


def _rows(images, share):
    """Positions of the images in their batch, int64 (n,) on the CPU, and how many it has."""
    if share is None:
        return torch.arange(len(images)), len(images)
    return torch.from_numpy(share.rows), share.count


def _picked(drawn, rows):
    """Some of what was drawn: the last axis of each."""
    return [values[..., rows] for values in drawn]


def _blur_kernel(size, blur):
    if blur is None:
        return size // 10 | 1 if size >= BLUR_MIN_SIZE else 0
    if blur and (blur < 3 or blur % 2 == 0 or blur // 2 >= size):
        raise ValueError(f"blur is {blur} px, expected 0 or an odd number from 3 to {2 * size - 1}")
    return blur


def _planes(images):
    return images.permute(0, 3, 1, 2).contiguous()


def _chunks(images, size, start, stop):
    """Slices of start:stop, small enough for the cache."""
    step = max(1, torch.get_num_threads() * CHUNK_PIXELS // max(images.shape[1], size) ** 2)
    return [slice(k, min(k + step, stop)) for k in range(start, stop, step)]
