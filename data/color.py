"""Colour operators on a batch, each image with parameters of its own.

All of them work on planes: float32 (n, 3, pixels) in [0, 1], red, green and blue of an image one
after the other, so that every pass runs over contiguous memory and every thread stays with its own
images. Source of the operators: torchvision.transforms.v2, on float images.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

GREY = (0.2989, 0.587, 0.114)  # of red, green, blue: torchvision's rounding of ITU-R BT.601
GREY_PROBABILITY = 0.2  # Chen et al. 2020, appendix A
STRENGTH, HUE_STRENGTH = 0.8, 0.2  # ibid., at colour strength 1
BRIGHTNESS, CONTRAST, SATURATION = range(3)


class Jitter(NamedTuple):
    """Colour parameters of n images, float32 but for the first.

    operator: int64 (3, n), which of BRIGHTNESS, CONTRAST, SATURATION comes first, second, third.
    factor, to_mean, to_grey: (3, n), see `blend`. hue: (n,), shift in turns of the colour circle.
    grey: (n,), 1 where the image loses its colour at the end and 0 elsewhere.
    """

    operator: torch.Tensor
    factor: torch.Tensor
    to_mean: torch.Tensor
    to_grey: torch.Tensor
    hue: torch.Tensor
    grey: torch.Tensor


def draw_jitter(count, generator, strength=1.0):
    """Draw the parameters of ColorJitter(0.8s, 0.8s, 0.8s, 0.2s), s being the strength, and of
    RandomGrayscale(0.2).

    Whether jitter is applied and where hue stands among the operators is not drawn here; see
    `augment.simclr_views`.

    Returns: Jitter of `count` images.
    """
    uniform = torch.rand(8, count, generator=generator)
    operator = uniform[:3].argsort(0)
    reach = STRENGTH * strength
    factor = 1 - reach + 2 * reach * uniform[3:6]
    hue = HUE_STRENGTH * strength * (2 * uniform[6] - 1)
    return Jitter(operator, *shares(operator, factor), hue, (uniform[7] < GREY_PROBABILITY).float())


def shares(operator, factor):
    """Arguments of `blend` for operators (BRIGHTNESS, CONTRAST or SATURATION) and their factors."""
    rest = 1 - factor
    return factor, rest * (operator == CONTRAST), rest * (operator == SATURATION)


def jitter(planes, parameters, hue_slot):
    """Apply colour jitter in place.

    Args:
        planes: float32 (n, 3, pixels) in [0, 1]. parameters: Jitter of n images.
        hue_slot: how many of the three other operators come before hue, 0 to 3, for all n images.
    """
    for stage in range(4):
        if stage == hue_slot:
            shift_hue(planes, parameters.hue)
        if stage < 3:
            blend(planes, parameters.factor[stage], parameters.to_mean[stage],
                  parameters.to_grey[stage])


def jitter_sorted(planes, parameters, angles, edges):
    """As `jitter`, of images that lie in the order of their hue slots: hue once, and each of the
    others on the two sides of it, for those images that have it there.

    Args: parameters: Jitter, of which factor, to_mean and to_grey are read. angles: as of `turns`.
        edges: five ints; images edges[k]:edges[k + 1] have hue slot k.
    """
    def stage(number, start, stop):
        blend(planes[start:stop], *(values[number, start:stop] for values in
                                    (parameters.factor, parameters.to_mean, parameters.to_grey)))

    for number in range(3):
        stage(number, edges[number + 1], edges[4])
    turn_hue(planes[:edges[4]], angles[:edges[4]])
    for number in range(3):
        stage(number, 0, edges[number + 1])


def greyscale(planes):
    """Luma of planes (n, 3, pixels) as (n, 1, pixels)."""
    return constant((GREY,), planes.device) @ planes


def blend(planes, factor, to_mean, to_grey):
    """Adjust brightness, contrast or saturation in place.

    All three are clamp(factor * image + (1 - factor) * base, 0, 1) and differ in the base only:
    black, the mean of the grey image, the grey image. So one pass serves a batch in which every
    image has another operator.

    Args:
        planes: float32 (n, 3, pixels) in [0, 1]. factor: float32 (n,), at least 0.
        to_mean, to_grey: float32 (n,), 1 - factor for contrast or saturation respectively, else 0.
    """
    factor, to_mean, to_grey = (share[:, None, None] for share in (factor, to_mean, to_grey))
    grey = greyscale(planes)
    mean = grey.mean(2, keepdim=True).mul_(to_mean)
    base = grey.mul_(to_grey).add_(mean)
    torch.addcmul(base, planes, factor, out=planes).clamp_(0, 1)


def shift_hue(planes, shift):
    """Turn the hue in place, as by way of HSV but without its six cases.

    Count hue in sixths of a turn, red at 0, green at 2, blue at -2. The unsigned distance of a
    colour from red is then 1 + (g + b - r - low) / chroma, wherever it lies on the circle, and its
    sign that of g - b. A channel whose primary is at distance d from the hue is low + chroma *
    clamp(2 - d, 0, 1). With x the difference of the two angles, not yet reduced to one turn,
    clamp(2 - d, 0, 1) equals clamp(||x| - 3| - 1, 0, 1) for |x| <= 7, hence the limit below.

    Args: planes: float32 (n, 3, pixels) in [0, 1].
        shift: float32 (n,) in turns, within [-1/3, 1/3].
    """
    turn_hue(planes, turns(shift))


def turns(shift):
    """Shifts (n,), in turns, as the angles (n, 3) that `turn_hue` adds for red, green and blue."""
    turn = 6 * shift
    return torch.stack((turn, turn - 2, turn + 2), 1)


def turn_hue(planes, turns):
    """As `shift_hue`. Args: turns: as of the function `turns`."""
    red, green, blue = planes.unbind(1)
    low = torch.minimum(red, green)
    torch.minimum(low, blue, out=low)
    chroma = torch.maximum(red, green)
    torch.maximum(chroma, blue, out=chroma).sub_(low)
    hue = green.add(blue).sub_(red).sub_(low).div_(chroma.clamp_min(1e-12)).add_(1)
    torch.copysign(hue, green.sub_(blue), out=hue)

    angles = torch.add(hue[:, None], turns[:, :, None], out=planes).abs_().sub_(3).abs_().clamp_(1, 2)
    torch.addcmul(low.sub_(chroma)[:, None], chroma[:, None], angles, out=planes)


def normalise(planes, mean, std, grey=None):
    """Remove the colour of some images, then subtract the mean and divide by std, in place.

    Args:
        planes: float32 (n, 3, pixels) in [0, 1]. mean, std: three floats each, of RGB in [0, 1].
        grey: float32 (n,), 1 where the image loses its colour and 0 elsewhere; None for nowhere.
    """
    offset = constant(tuple(-m / s for m, s in zip(mean, std)), planes.device)[:, None]
    scale = constant(tuple(1 / s for s in std), planes.device)[:, None]
    if grey is None:
        torch.addcmul(offset, planes, scale, out=planes)
    else:
        share = scale * grey[:, None, None]
        luma = greyscale(planes)
        torch.addcmul(offset, planes, scale - share, out=planes).addcmul_(luma, share)


@lru_cache(maxsize=64)
def constant(values, device):
    """Floats as float32 tensor on the device; kept, since copying them there would wait for it."""
    return torch.tensor(values, dtype=torch.float32, device=device)
