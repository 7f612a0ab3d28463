"""Augmentation against torchvision: the same parameters give the same images, and the parameters the same laws."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from data import augment, color
from data.crops import draw_crops

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NORMALISE = {"mean": MEAN, "std": STD}
RANDOM = (augment.simclr_views, augment.random_resized_crop_flip, augment.crop_flip)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(count, side, seed=0):
    """Blobs and noise, with some black, white and grey pixels, where hue has no meaning."""
    coarse = torch.rand(count, 3, 4, 4, generator=generator(seed)) * 1.6 - 0.3
    images = TF.resize(coarse, [side, side], antialias=True)
    images += 0.1 * torch.rand(images.shape, generator=generator(seed + 1))
    images[:, :, :3, :5] = images[:, :1, :3, :5]
    return images.clamp(0, 1).mul(255).byte().permute(0, 2, 3, 1).contiguous()


def planes_of(images):
    return (images.permute(0, 3, 1, 2).float() / 255).flatten(2)


def as_float(image):
    return image.permute(2, 0, 1).float() / 255


def cropped(image, crops, k, size):
    """Crop k by torchvision."""
    (top, bottom), (left, right) = [sorted((int(crops.first[a, k]), int(crops.last[a, k]))) for a in (0, 1)]
    view = TF.resized_crop(image, top, left, bottom - top, right - left, [size, size], antialias=True)
    return TF.horizontal_flip(view) if crops.first[1, k] > crops.last[1, k] else view


def coloured(view, jitter, k, hue_slot):
    """The colour operators k by torchvision, one after the other."""
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation)
    for stage in range(4) if hue_slot is not None else ():
        if stage == hue_slot:
            view = TF.adjust_hue(view, float(jitter.hue[k]))
        if stage < 3:
            view = adjust[jitter.operator[stage, k]](view, float(jitter.factor[stage, k]))
    return TF.rgb_to_grayscale(view, 3) if jitter.grey[k] else view


@pytest.mark.parametrize("side, size", [(32, 32), (48, 20), (24, 40)])
def test_resized_crop_and_flip_as_torchvision(side, size):
    images = some_images(24, side)
    crops = draw_crops(24, side, 0.08, generator(3))
    views = augment.random_resized_crop_flip(images, size, generator(3), mean=(0, 0, 0), std=(1, 1, 1))
    expected = torch.stack([cropped(as_float(image), crops, k, size) for k, image in enumerate(images)])
    torch.testing.assert_close(views, expected, atol=5e-6, rtol=0, check_stride=False)


@pytest.mark.parametrize("side, size", [(32, 32), (32, 48), (40, 20)])
def test_crop_flip_pads_with_black_and_resizes_as_torchvision(side, size):
    images, pad = some_images(24, side), side // 8
    uniform = torch.rand(3, 24, generator=generator(5))
    expected = []
    for k, image in enumerate(images):
        top, left = (int(u * (2 * pad + 1)) for u in uniform[:2, k])
        view = TF.crop(TF.pad(as_float(image), [pad]), top, left, side, side)
        view = TF.horizontal_flip(view) if uniform[2, k] < 0.5 else view
        expected.append(TF.normalize(TF.resize(view, [size, size], antialias=True), MEAN, STD))
    views = augment.crop_flip(images, size, generator(5), **NORMALISE)
    torch.testing.assert_close(views, torch.stack(expected), atol=3e-5, rtol=0, check_stride=False)


@pytest.mark.parametrize("size", [16, 32, 45])
def test_resize_as_torchvision(size):
    images = some_images(4, 32)
    expected = TF.resize(images.permute(0, 3, 1, 2).float() / 255, [size, size], antialias=True)
    result = augment.resize(images, size, **NORMALISE)
    torch.testing.assert_close(result, TF.normalize(expected, MEAN, STD), atol=1e-5, rtol=0, check_stride=False)


@pytest.mark.parametrize("operator, reference", [(color.BRIGHTNESS, TF.adjust_brightness),
                                                 (color.CONTRAST, TF.adjust_contrast),
                                                 (color.SATURATION, TF.adjust_saturation)])
def test_blend_as_torchvision(operator, reference):
    images, factors = some_images(9, 16), torch.linspace(0, 1.8, 9)
    planes = planes_of(images)
    color.blend(planes, *color.shares(torch.full((9,), operator), factors))
    expected = torch.stack([reference(as_float(image), float(f)).flatten(1) for image, f in zip(images, factors)])
    torch.testing.assert_close(planes, expected, atol=1e-6, rtol=0)


def test_hue_as_torchvision():
    levels = torch.tensor([0, 1, 100, 101, 254, 255], dtype=torch.uint8)
    colours = torch.cartesian_prod(levels, levels, levels)
    images = torch.cat((colours.view(1, 12, 18, 3), torch.randint(0, 256, (1, 12, 18, 3), dtype=torch.uint8)))
    for shift in (-1 / 3, -0.2, -1 / 6, -1e-3, 0, 0.1, 0.2, 1 / 3):
        planes = planes_of(images)
        color.shift_hue(planes, torch.full((2,), shift))
        expected = TF.adjust_hue(images.permute(0, 3, 1, 2).float() / 255, shift).flatten(2)
        torch.testing.assert_close(planes, expected, atol=3e-6, rtol=0)


@pytest.mark.parametrize("hue_slot", range(4))
def test_jitter_in_any_order_as_torchvision(hue_slot):
    images, jitter = some_images(40, 16), color.draw_jitter(40, generator(7))
    planes = planes_of(images)
    color.jitter(planes, jitter, hue_slot)
    color.normalise(planes, (0, 0, 0), (1, 1, 1), jitter.grey)
    for k, image in enumerate(images):
        expected = coloured(as_float(image), jitter, k, hue_slot).flatten(1)
        # Rounding grows where saturation or contrast 1.8 precede a hue of hardly any chroma.
        torch.testing.assert_close(planes[k], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kernel", [3, 9])
def test_blur_as_torchvision(kernel):
    planes = planes_of(some_images(6, 24)).view(6, 3, 24, 24)
    sigma = torch.tensor([0.1, 0.15, 0.3, 0.7, 1.3, 2.0])
    blurred = augment.gaussian_blur(planes, augment.gaussian_weights((sigma - 0.1) / 1.9, kernel))
    expected = [TF.gaussian_blur(planes[k], [kernel, kernel], [float(s)]) for k, s in enumerate(sigma)]
    torch.testing.assert_close(blurred, torch.stack(expected), atol=3e-5, rtol=0)


@pytest.mark.parametrize("count, size", [(5, 32), (8, 48)])
def test_views_are_the_right_images_operator_by_operator(count, size):
    """Replays the draws of simclr_views and does each view by torchvision."""
    images, kernel = some_images(count, 32), 5 if size == 48 else 0
    groups = 10 if kernel else 5
    total = -(-2 * count // groups) * groups
    draws = {"generator": generator(11)}
    order = torch.rand(total, **draws).argsort()
    crops = draw_crops(total, 32, 0.2, **draws)
    jitter = color.draw_jitter(total, strength=0.4, **draws)
    sigma = 0.1 + 1.9 * torch.rand(total, **draws)
    views = augment.simclr_views(images, size, generator(11), crop_scale=0.2, color_strength=0.4, **NORMALISE)
    for k, row in enumerate(order.tolist()):
        if row >= 2 * count:
            continue
        group = k * groups // total
        view = cropped(as_float(images[row % count]), crops, k, size)
        view = coloured(view, jitter, k, augment.HUE_SLOTS[group // 2 if kernel else group])
        if kernel and group % 2:
            view = TF.gaussian_blur(view, [kernel, kernel], [float(sigma[k])])
        torch.testing.assert_close(views[row], TF.normalize(view, MEAN, STD), atol=2e-4, rtol=0, check_stride=False)


@pytest.mark.parametrize("scale", [0.08, 0.5])
def test_crop_boxes_are_distributed_as_torchvision(scale):
    crops = draw_crops(20000, 32, scale, generator(1))
    low, high = torch.minimum(*crops), torch.maximum(*crops)
    transform, image = v2.RandomResizedCrop(32, (scale, 1)), torch.empty(3, 32, 32)
    torch.manual_seed(0)
    expected = [transform.make_params([image]) for _ in range(3000)]
    for axis, names in enumerate((("top", "height"), ("left", "width"))):
        for name, values in zip(names, (low[axis], (high - low)[axis])):
            assert ks_2samp([e[name] for e in expected], values.numpy()).pvalue > 1e-3, name
    areas = (high - low).prod(0).numpy()
    assert ks_2samp([e["height"] * e["width"] for e in expected], areas).pvalue > 1e-3
    assert abs((crops.first[1] > crops.last[1]).float().mean() - 0.5) < 0.02


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_jitter_is_distributed_as_torchvision(strength):
    jitter = color.draw_jitter(20000, generator(2), strength)
    transform, image = v2.ColorJitter(*[0.8 * strength] * 3, 0.2 * strength), torch.empty(3, 4, 4)
    torch.manual_seed(0)
    expected = [transform.make_params([image]) for _ in range(3000)]
    assert abs(jitter.grey.mean() - 0.2) < 0.015
    assert ks_2samp([e["hue_factor"] for e in expected], jitter.hue.numpy()).pvalue > 1e-3
    for k, name in enumerate(("brightness_factor", "contrast_factor", "saturation_factor")):
        values = jitter.factor[jitter.operator == k]
        assert ks_2samp([e[name] for e in expected], values.numpy()).pvalue > 1e-3, name
    orders = torch.unique(jitter.operator, dim=1, return_counts=True)[1]
    assert len(orders) == 6 and (abs(orders / 20000 - 1 / 6) < 0.015).all()


@pytest.mark.parametrize("count", [1, 3])
def test_every_row_gets_every_hue_slot_or_no_jitter_equally_often(count, monkeypatch):
    monkeypatch.setattr(color, "jitter", lambda planes, parameters, hue_slot: planes.fill_(hue_slot + 1))
    images, draws = torch.zeros(count, 2, 2, 3, dtype=torch.uint8), generator(6)
    slots = torch.stack([augment.simclr_views(images, 2, draws, mean=(0, 0, 0), std=(1, 1, 1))[:, 0, 0, 0]
                         for _ in range(1000)]).round()
    for slot in range(5):
        assert (abs((slots == slot).float().mean(0) - 0.2) < 0.05).all()


def test_two_views_of_an_image_are_independent():
    image = torch.tensor([200, 60, 90], dtype=torch.uint8).expand(4000, 4, 4, 3).contiguous()
    views = augment.simclr_views(image, 4, generator(3), mean=(0, 0, 0), std=(1, 1, 1))
    first, second = views[:, :, 0, 0].chunk(2)
    for a in range(3):
        assert abs(np.corrcoef(first[:, a], second[:, a])[0, 1]) < 4 / 4000 ** 0.5
    grey = [(view.amax(1) - view.amin(1) < 1e-4).double() for view in (first, second)]
    assert abs((grey[0] * grey[1]).mean() - grey[0].mean() * grey[1].mean()) < 0.015


@pytest.mark.parametrize("function", RANDOM)
def test_same_generator_state_same_result_whatever_the_chunks(function, monkeypatch):
    images = some_images(7, 32)
    result = function(images, 48, generator(4), **NORMALISE)
    assert torch.equal(result, function(images, 48, generator(4), **NORMALISE))
    assert not torch.equal(result, function(images, 48, generator(5), **NORMALISE))
    monkeypatch.setattr(augment, "CHUNK_PIXELS", 1)
    torch.testing.assert_close(result, function(images, 48, generator(4), **NORMALISE), atol=1e-5, rtol=0)


@pytest.mark.parametrize("function", RANDOM)
@pytest.mark.parametrize("count", [1, 6])
def test_shape_type_and_memory_format(function, count):
    images = some_images(count, 32)
    before = images.clone()
    result = function(images, 40, generator(), **NORMALISE)
    assert result.shape == ((2 if function is augment.simclr_views else 1) * count, 3, 40, 40)
    assert result.dtype == torch.float32 and result.isfinite().all() and torch.equal(images, before)
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("images, arguments, message", [
    (torch.zeros(2, 8, 8, 3), {}, "uint8"),
    (torch.zeros(2, 8, 9, 3, dtype=torch.uint8), {}, "B, H, H, 3"),
    (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), {"size": 0}, "size"),
    (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), {"crop_scale": 0.0}, "crop_scale"),
    (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), {"blur": 4}, "odd"),
])
def test_wrong_arguments_are_named(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        augment.simclr_views(images, **{"size": 8, "generator": generator(), **NORMALISE, **arguments})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("function", RANDOM)
def test_never_waits_for_the_gpu(function):
    images, draws = some_images(8, 32).cuda(), torch.Generator().manual_seed(0)
    function(images, 48, draws, **NORMALISE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        function(images, 48, draws, **NORMALISE)
    finally:
        torch.cuda.set_sync_debug_mode("default")
