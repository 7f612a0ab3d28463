"""From the pixels that Pillow reads to 8-bit RGB, whatever their kind; upright, on white."""

import numpy as np
from PIL import Image

INTEGER_SCALES, FLOAT_SCALES = (255, 4095, 65535), (1, 255, 65535)
OWN_SCALE = "their own smallest to largest value"
_ORIENTATION = 0x0112  # in EXIF
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # in TIFF
_UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90}


def upright_rgb(image):
    """An image as it is meant to be seen; see data.sources.decode for the rules.

    Returns: (image of mode RGB, the scale of its values in words where they are not 8 bits each,
    else None). Raises: ValueError for values that are not finite, and what Pillow raises.
    """
    image.load()  # the EXIF of some formats comes after the pixels
    turn, scale = _UPRIGHT.get(_orientation(image)), None
    values = _wide_values(image)
    if values is not None:
        image, scale = _from_values(image, values)
    elif image.has_transparency_data:
        image = _on_white(image)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return (image if turn is None else image.transpose(turn)), scale


def eight_bits(values):
    """Bring values of any range to 0..255.

    Args: values: integers or floats, any shape, at least one.
    Returns: (uint8 of that shape, the scale in words).
    Raises: ValueError for values that are not finite.
    """
    integers = values.dtype.kind in "iu"
    if not integers and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"{bad} of its {values.size} values are NaN or infinite")
    low, high = values.min().item(), values.max().item()
    scale = _scale(low, high, INTEGER_SCALES if integers else FLOAT_SCALES)
    if scale is not None and integers:
        return (values >> (scale.bit_length() - 8)).astype(np.uint8), f"0 to {scale}"
    span = (high - low) or 1  # of a single value nothing can be seen: black
    # In float64, where neither the largest int32 nor the largest float32 wraps.
    values = values.astype(np.float64)
    values = (values - low) / span if scale is None else values / scale
    return np.rint(255 * values).astype(np.uint8), f"0 to {scale}" if scale else OWN_SCALE


def in_words(scales):
    """Say on which scales images were read. Args: scales: Counter of what `eight_bits` returns."""
    kinds = ", ".join(f"{count} from {scale}" for scale, count in scales.most_common())
    line = f"{scales.total()} images of other than 8-bit values were brought to 0..255: {kinds}"
    mixed = len(scales) > 1 or OWN_SCALE in scales
    return f"{line}; brightness cannot be compared between scales" if mixed else line


def _scale(low, high, scales):
    """The least scale that holds the values, None if they are negative, larger than all or, except
    on the first one, so much smaller that they would be black."""
    fits = [scale for scale in scales if 0 <= low and high <= scale]
    return fits[0] if fits and (fits[0] == scales[0] or 16 * high >= fits[0]) else None


def _wide_values(image):
    """The values of an image that has others than unsigned 8-bit ones, or None."""
    tags = getattr(image, "tag_v2", {})
    unsigned = tags.get(_SAMPLE_FORMAT, (1,))[0] == 1
    if image.mode == "L" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 2:
        return np.asarray(image).view(np.int8)  # which Pillow takes for unsigned
    if image.mode == "I" and tags and unsigned:
        return np.asarray(image).view(np.uint32)  # whose upper half Pillow takes for negative
    return np.asarray(image) if image.mode == "F" or image.mode.startswith("I") else None


def _from_values(image, values):
    pixels, scale = eight_bits(values)
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:  # white is zero
        pixels = 255 - pixels
    key = image.info.get("transparency")
    if isinstance(key, int):
        pixels = np.where(values == key, np.uint8(255), pixels)
    return Image.fromarray(pixels).convert("RGB"), scale


def _on_white(image):
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _orientation(image):
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # the readers of broken EXIF fail in ways beyond counting
        return None
