"""Augmentation of a whole batch at once, for GPUs, where each operation costs a launch.

What data/augment.py draws reaches the device in one copy. Rows and columns are both multiplied by a
matrix of each view, and all colour operators but hue are done twice, before and after it, each time
for the views that have them there. So the number of operations depends on nothing.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F

from data import color
from data.blur import reflected

PIXELS = 2 ** 26  # of views at once: some 60 bytes of temporaries each, 4 GB


def pays(device):
    """Whether all at once is faster than chunks that stay in a cache."""
    return device.type != "cpu"


def simclr_views(images, size, crops, jitter, edges, blur_weights, targets, mean, std):
    """What augment.simclr_views does once all is drawn.

    Args: crops, jitter: Crops and Jitter of 2B views, on the CPU as all that is drawn; first those
        whose hue comes before all other operators, last those without jitter. edges: five ints;
        views edges[k]:edges[k + 1] have color.jitter's hue slot k. blur_weights: float32 (kernel,
        2B) as of blur.gaussian_weights, of each view, or None. targets: int64 (2B,), its row.
    """
    rows = torch.stack((targets, targets % len(images))).float()  # exact to 2 ** 24
    some = [] if blur_weights is None else [blur_weights]
    rows, boxes, factors, angles, grey, *some = sent(
        images.device, rows, _boxes(crops, size), torch.stack(jitter[1:4]),
        color.turns(jitter.hue).T, jitter.grey[None], *some)
    rows, factors = rows.long(), color.Jitter(None, *factors, None, None)
    views = images.new_empty((2 * len(images), size, size, 3), dtype=torch.float32)
    for part in _parts(len(views), images, size):
        planes = _crop(images, rows[1, part], boxes[..., part], size)
        within = [min(max(edge, part.start), part.stop) - part.start for edge in edges]
        own = color.Jitter(*(None if values is None else values[..., part] for values in factors))
        color.jitter_sorted(planes.flatten(2), own, angles.T[part], within)
        if some:
            planes = _blur(planes, some[0][:, part])
        color.normalise(planes.flatten(2), mean, std, grey[0, part])
        views.index_copy_(0, rows[0, part], planes.permute(0, 2, 3, 1).contiguous())
    return views.permute(0, 3, 1, 2)


def cropped_views(images, size, crops, mean, std):
    """What augment.random_resized_crop_flip does once all is drawn. Args: as `simclr_views`."""
    boxes, = sent(images.device, _boxes(crops, size))
    views = images.new_empty((len(images), size, size, 3), dtype=torch.float32)
    for part in _parts(len(views), images, size):
        planes = _crop(images[part], None, boxes[..., part], size)
        color.normalise(planes.flatten(2), mean, std)
        views[part] = planes.permute(0, 2, 3, 1)
    return views.permute(0, 3, 1, 2)


def sent(device, *values):
    """Tensors float32 (..., n) of the CPU on the device, in one copy: from memory that the system
    does not move, so that nobody waits."""
    flat = [each.flatten(0, -2) for each in values]
    together = torch.cat(flat)
    if device.type == "cuda":
        together = together.pin_memory()
    parts = together.to(device, non_blocking=True).split([len(each) for each in flat])
    return [part.view(each.shape) for part, each in zip(parts, values)]


def _boxes(crops, size):
    """First edge, step, low and high edge, and reach of the filter, of rows and of columns: (5, 2,
    n); see crops.resampling."""
    first, last = crops
    step = (last - first) / size
    return torch.stack((first, step, torch.minimum(first, last), torch.maximum(first, last),
                        step.abs().clamp(min=1)))


def _crop(images, chosen, boxes, size):
    """As crops.crop, of images (B, H, H, 3). Args: boxes: of n views, on the device. chosen: int64
    (n,), None for all."""
    side, device = images.shape[1], images.device
    first, step, low, high, reach = (values[..., None, None] for values in boxes)
    centre = torch.addcmul(first, step, torch.arange(0.5, size, device=device)[:, None])
    pixels = torch.arange(0.5, side, device=device)
    weights = (pixels - centre).abs_()
    torch.sub(reach, weights, out=weights).clamp_(min=0).mul_((pixels > low) & (pixels < high))
    down, across = weights.div_(weights.sum(-1, keepdim=True))
    picked = images if chosen is None else images.index_select(0, chosen)
    planes = picked.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return _both(planes, down.div_(255), across)


def _blur(planes, weights):
    """As blur.gaussian_blur."""
    size = planes.shape[2]
    pattern = _reflections(size, len(weights), planes.device)
    across = (weights.T @ pattern).view(-1, size, size)
    return _both(planes, across, across)


@lru_cache(maxsize=16)
def _reflections(size, kernel, device):
    """Which pixel of a line each place of a kernel takes: float32 (kernel, size * size), ones and
    zeros; kept, since a GPU's host waits for it."""
    places = reflected(size, kernel, "cpu")
    return F.one_hot(places, size).float().flatten(1).to(device)


def _both(planes, down, across):
    """Multiply columns and rows of planes (n, 3, H, W) by matrices (n, size, H) and (n, size, W)."""
    lines = (planes.flatten(1, 2) @ across.mT).view(*planes.shape[:3], -1)
    return down[:, None] @ lines


def _parts(count, images, size):
    """Slices of some views: one unless they are too large."""
    step = max(1, PIXELS // max(images.shape[1], size) ** 2)
    return [slice(k, min(k + step, count)) for k in range(0, count, step)]
