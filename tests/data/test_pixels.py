"""What the network sees of pictures of every kind: depth, transparency, colour, odd metadata."""

import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data.pictures import decoded, pictures
from data.pixels import INTEGER_SCALES, OWN_SCALE, eight_bits, in_words
from data.sources import FolderSource, decode, decode_and_scale
from data.store import open_store

RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def seen(path, size=64):
    return decode(FolderSource.unlabelled(path.parent), 0, size)


def save(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png16(path, values, colour_type, key=b""):
    """A 16-bit PNG, of which Pillow writes grey ones only. Args: values: uint16 (H, W, channels)."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (key and chunk(b"tRNS", key))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def write_tiff(path, values, sample_format, photometric=1, order="<"):
    """An uncompressed grey or (H, W, 3) TIFF of any number type."""
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    bits = struct.pack(f"{order}{channels}H", *[8 * values.itemsize] * channels)
    formats = struct.pack(f"{order}{channels}H", *[sample_format] * channels)
    if channels == 1:
        where, tail = (8 * values.itemsize, sample_format), b""
    else:
        where, tail = (8 + len(data), 8 + len(data) + len(bits)), bits + formats
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, where[0]), (259, 3, 1, 1),
            (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height),
            (279, 4, 1, len(data)), (339, 3, channels, where[1])]
    entries = b"".join(struct.pack(f"{order}HHI{'H2x' if (kind, count) == (3, 1) else 'I'}", tag, kind, count, value)
                       for tag, kind, count, value in tags)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data) + len(tail))
    path.write_bytes(start + data + tail + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))
    return path


WIDE = {  # name: (values of a ramp, the scale it is read on)
    "full.png": ((RAMP * 65535).astype(np.uint16), "0 to 65535"),
    "full.tif": ((RAMP * 65535).astype(np.uint16), "0 to 65535"),
    "big-endian.tif": ((RAMP * 65535).astype(">u2"), "0 to 65535"),
    "full.jp2": ((RAMP * 65535).astype(np.uint16), "0 to 65535"),
    "full.pgm": ((RAMP * 65535).astype(np.uint16), "0 to 65535"),
    "twelve.png": ((RAMP * 4095).astype(np.uint16), "0 to 4095"),
    "twelve32.tif": ((RAMP * 4095).astype(np.int32), "0 to 4095"),
    "eight.png": ((RAMP * 255).astype(np.uint16), "0 to 255"),
    "eight32.tif": ((RAMP * 255).astype(np.int32), "0 to 255"),
    "sixteen32.tif": ((RAMP * 65535).astype(np.int32), "0 to 65535"),
    "tomograph.tif": ((RAMP * 4000 - 1000).astype(np.int16), OWN_SCALE),
    "widest.tif": ((RAMP * (2 ** 32 - 2) - 2 ** 31).astype(np.int32), OWN_SCALE),
    "one.tif": (RAMP.astype(np.float32), "0 to 1"),
    "one64.tif": (RAMP, "0 to 1"),
    "one.pfm": (RAMP.astype(np.float32), "0 to 1"),
    "eight-float.tif": ((RAMP * 255).astype(np.float32), "0 to 255"),
    "sixteen-float.tif": ((RAMP * 65535).astype(np.float32), "0 to 65535"),
    "overshoot.tif": ((RAMP * 1.03).astype(np.float32), OWN_SCALE),
    "twelve-float.tif": ((RAMP * 4095).astype(np.float32), OWN_SCALE),
    "signed-float.tif": ((RAMP * 2 - 1).astype(np.float32), OWN_SCALE),
    "largest-float.tif": ((RAMP * 6e38 - 3e38).astype(np.float32), OWN_SCALE),
}


@pytest.mark.parametrize("name", WIDE)
def test_a_ramp_from_black_to_white_stays_one(name, tmp_path):
    values, scale = WIDE[name]
    save(tmp_path / name, values)
    found, said = decode_and_scale(FolderSource.unlabelled(tmp_path), 0, 64)
    assert np.abs(found.astype(int) - np.rint(RAMP * 255)[..., None]).max() <= 1 and said == scale


@pytest.mark.parametrize("values, sample_format", [
    ((RAMP * (2 ** 32 - 1)).astype(np.uint32), 1), ((RAMP * 255 - 128).astype(np.int8), 2),
    ((RAMP * 4000 - 1000).astype(np.int16), 2)])
def test_tiffs_whose_sign_pillow_does_not_tell(values, sample_format, tmp_path):
    found = seen(write_tiff(tmp_path / "x.tif", values, sample_format)).astype(int)
    assert np.abs(found - np.rint(RAMP * 255)[..., None]).max() <= 2


def test_white_is_zero_in_sixteen_bits(tmp_path):
    path = write_tiff(tmp_path / "x.tif", ((1 - RAMP) * 65535).astype(np.uint16), 1, photometric=0)
    assert np.abs(seen(path).astype(int) - np.rint(RAMP * 255)[..., None]).max() <= 1


@pytest.mark.parametrize("order", "<>")
def test_colours_of_sixteen_bits_keep_their_upper_eight(order, tmp_path):
    values = np.stack([RAMP, RAMP[:, ::-1], RAMP * 0], axis=2) * 65535
    path = write_tiff(tmp_path / "x.tif", values.astype(np.uint16), 1, photometric=2, order=order)
    assert np.abs(seen(path).astype(int) - np.rint(values / 257)).max() <= 1
    path.unlink()
    assert np.abs(seen(write_png16(tmp_path / "x.png", values, 2)).astype(int) - np.rint(values / 257)).max() <= 1


@pytest.mark.parametrize("values", [RAMP.astype(np.float16), np.stack([RAMP] * 3, axis=2).astype(np.float32)])
def test_kinds_of_tiff_that_pillow_lacks_are_refused_in_one_line(values, tmp_path):
    path = write_tiff(tmp_path / "x.tif", values, 3, 1 if values.ndim == 2 else 2)
    with pytest.raises(ValueError, match=rf"^{path}: not a readable image \([^\n]*Pillow cannot read\)$"):
        seen(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad, tmp_path):
    values = RAMP.astype(np.float32)
    values[3, 5:7] = bad
    path = save(tmp_path / "x.tif", values)
    with pytest.raises(ValueError, match=rf"^{path}: .*\(2 of its 4096 values are NaN or infinite\)$"):
        seen(path)


@pytest.mark.parametrize("value, expected", [(200, 200), (4000, 250), (60000, 234), (70000, 0), (-5, 0)])
@pytest.mark.filterwarnings("error")  # of a division by zero
def test_a_single_value(value, expected, tmp_path):
    assert (seen(save(tmp_path / "x.tif", np.full((8, 8), value, dtype=np.int32)), 8) == expected).all()


def test_full_sixteen_bit_values_keep_their_upper_eight_bits():
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(eight_bits(values)[0], values >> 8)


@pytest.mark.parametrize("top", INTEGER_SCALES)
def test_the_upper_half_of_a_scale_is_never_dark(top):
    for high in (top // 2 + 1, top):
        assert eight_bits(np.array([0, high]))[0][1] >= 128


def test_scales_that_differ_are_said_once_and_only_then(tmp_path):
    for k, top in enumerate((4095, 65535, 65535)):
        save(tmp_path / f"{k}.png", (RAMP * top).astype(np.uint16))
    save(tmp_path / "plain.png", np.zeros((64, 64, 3), dtype=np.uint8))
    lines, store = [], tmp_path / ".store"
    for _ in range(2):
        open_store(store, lambda: FolderSource.unlabelled(tmp_path), 8, say=lines.append)
    line, = (line for line in lines if "8-bit" in line)
    assert line.startswith(f"{store}: 3 images of other than 8-bit values ")
    assert line.endswith("2 from 0 to 65535, 1 from 0 to 4095; brightness cannot be compared between scales")
    assert "compared" not in in_words(Counter({"0 to 65535": 3})) and "compared" in in_words(Counter({OWN_SCALE: 3}))


def clear_and_red(mode):
    """A picture whose left half is transparent black and whose right half is red (or what grey it has)."""
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, 4:] = 255, 0, 0, 255
    image = Image.fromarray(pixels)
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize("mode, suffix", [("RGBA", ".png"), ("RGBA", ".webp"), ("RGBA", ".tif"), ("RGBA", ".tga"),
                                          ("RGBA", ".avif"), ("LA", ".png"), ("LA", ".tif"), ("PA", ".tif")])
def test_transparent_pixels_are_white(mode, suffix, tmp_path):
    options = {".webp": {"lossless": True}, ".avif": {"quality": 100}}.get(suffix, {})
    image = clear_and_red(mode)
    image.save(tmp_path / f"x{suffix}", **options)
    found, red = seen(tmp_path / f"x{suffix}", 8).astype(int), (76,) * 3 if mode == "LA" else (255, 0, 0)
    assert np.abs(found[:, :3] - 255).max() <= 3 and np.abs(found[:, 5:] - red).max() <= 3


def test_half_transparent_pixels_are_half_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "x.png")
    assert (seen(tmp_path / "x.png", 8) == 127).all()


@pytest.mark.parametrize("mode, suffix", [("P", ".png"), ("L", ".png"), ("RGB", ".png"), ("P", ".gif"), ("L", ".gif")])
def test_a_transparent_colour_is_white(mode, suffix, tmp_path):
    image = Image.new("RGB", (8, 8), "black")
    image.paste((90, 90, 90), (4, 0, 8, 8))
    image = image.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"x{suffix}", transparency=image.getpixel((0, 0)))
    found = seen(tmp_path / f"x{suffix}", 8)
    assert (found[:, :4] == 255).all() and (found[:, 4:] == 90).all()


@pytest.mark.parametrize("key", [0, 65535, 40000])
@pytest.mark.parametrize("colour", [False, True])
def test_a_transparent_value_of_sixteen_bits(key, colour, tmp_path):
    values = np.full((8, 8, 3 if colour else 1), 30000, dtype=np.uint16)
    values[:, :4] = key
    write_png16(tmp_path / "x.png", values, 2 if colour else 0, struct.pack(">H", key) * values.shape[2])
    found = seen(tmp_path / "x.png", 8)
    assert (found[:, 4:] == 30000 >> 8).all()
    # Of 16-bit colours Pillow compares the upper bytes with the whole key: a key may go unnoticed.
    assert (found[:, :4] == 255).all() or (colour and (found[:, :4] == key >> 8).all())


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff",
                                  b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 20, b"\0"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.filterwarnings("ignore")
def test_broken_exif_is_ignored(exif, suffix, tmp_path):
    Image.new("RGB", (8, 8), "white").save(tmp_path / f"x{suffix}", exif=exif)
    assert seen(tmp_path / f"x{suffix}", 8).min() >= 250


def test_exif_whose_reader_fails_is_ignored(tmp_path, monkeypatch):
    def fail(*_):
        raise SyntaxError("not a TIFF file")

    Image.new("RGB", (8, 8), "white").save(tmp_path / "x.jpg")
    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert seen(tmp_path / "x.jpg", 8).min() >= 250


def test_exif_that_cannot_be_written_again_still_turns(tmp_path):
    """The orientation is read; the rest of the EXIF is nobody's business."""
    entries = struct.pack(">HHHIHH", 1, 0x0112, 3, 1, 3, 0) + struct.pack(">I", 0xfffffff0)
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    save(tmp_path / "x.png", pixels, exif=b"MM\0*\0\0\0\x08" + entries)
    assert (seen(tmp_path / "x.png", 8) == pixels[::-1]).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_broken_colour_profile_is_ignored(suffix, tmp_path):
    Image.new("RGB", (8, 8), "white").save(tmp_path / f"x{suffix}", icc_profile=b"no profile")
    assert seen(tmp_path / f"x{suffix}", 8).min() >= 250


def test_a_long_caption_is_no_reason_to_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", PngImagePlugin.MAX_TEXT_CHUNK)
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 3_000_000, zip=True)
    Image.new("RGB", (8, 8), "white").save(tmp_path / "x.png", pnginfo=text)
    assert seen(tmp_path / "x.png", 8).min() == 255


@pytest.mark.parametrize("width, height", [(1, 1), (2000, 1), (1, 2000)])
def test_small_and_thin_pictures(width, height, tmp_path):
    Image.new("RGB", (width, height), "red").save(tmp_path / "x.png")
    assert (seen(tmp_path / "x.png", 8) == (255, 0, 0)).all()


def test_an_image_without_pixels_is_refused(tmp_path):
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5\n0 8\n255\n")
    with pytest.raises(ValueError, match=rf"^{path}: not a readable image \([^\n]+\)$"):
        seen(path)


def test_lab_and_inverted_cmyk(tmp_path):
    Image.new("RGB", (8, 8), "red").convert("LAB").save(tmp_path / "x.tif")
    assert np.abs(seen(tmp_path / "x.tif", 8).astype(int) - (255, 0, 0)).max() <= 6
    (tmp_path / "x.tif").unlink()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "x.jpg").read_bytes()
    assert np.abs(seen(tmp_path / "x.jpg", 8).astype(int) - (255, 0, 0)).max() <= 6


@pytest.mark.parametrize("suffix", [".avif", ".webp", ".apng", ".mpo"])
def test_of_more_animations_the_first_frame(suffix, tmp_path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    options = {"format": "PNG"} if suffix == ".apng" else {}
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:], **options)
    assert np.abs(seen(tmp_path / f"x{suffix}", 8).astype(int) - (255, 0, 0)).max() <= 6


def test_somebodys_pictures_of_another_scale_are_told(tmp_path, capsys):
    """As those of a dataset are: of such pictures the brightness is a guess."""
    for name, values in (("deep", np.full((16, 16), 4095, np.uint16)), ("usual", np.zeros((16, 16), np.uint8))):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    assert len(list(decoded(pictures([str(tmp_path)]), 8))) == 2
    assert capsys.readouterr().out == "1 images of other than 8-bit values were brought to 0..255: 1 from 0 to 4095\n"
