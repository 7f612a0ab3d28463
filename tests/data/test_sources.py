"""Sources of images, and decoding one: size, scale, orientation, what cannot be read."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.sources import ArraySource, FolderSource, decode
from tests.data.made import picture, write

IMAGENET_SIZE = 96


def only(path, size):
    """Decode the single image of a folder."""
    return decode(FolderSource.unlabelled(path.parent), 0, size)


def test_labelled_lists_classes_and_files_by_name(classes_folder):
    write(classes_folder / "bee" / ".hidden.png", picture())
    (classes_folder / "bee" / "notes.txt").write_text("no image")
    (classes_folder / ".cache").mkdir()
    source = FolderSource.labelled(classes_folder)
    assert source.classes == ("ape", "bee", "cat")
    assert source.labels.dtype == np.int64 and source.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [Path(source.name(i)).name for i in range(3)] == ["0.png", "1.JPG", "2.webp"]
    folders = [classes_folder, *(classes_folder / name for name in source.classes)]
    assert source.folders == [str(path) for path in folders]


def test_classes_of_the_training_split(classes_folder):
    wider = FolderSource.labelled(classes_folder, classes=("ape", "asp", "bee", "cat"))
    assert wider.classes == ("ape", "asp", "bee", "cat") and set(wider.labels) == {0, 2, 3}
    assert wider.fingerprint != FolderSource.labelled(classes_folder).fingerprint
    with pytest.raises(ValueError, match="'bee' is not among the 2 classes"):
        FolderSource.labelled(classes_folder, classes=("ape", "cat"))


def test_empty_class_folder_is_named(classes_folder):
    (classes_folder / "dog").mkdir()
    with pytest.raises(ValueError, match="train/dog: class folder without images"):
        FolderSource.labelled(classes_folder)


@pytest.mark.parametrize("list_root", [FolderSource.labelled, FolderSource.unlabelled])
def test_nothing_there(list_root, tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=f"^no .* in {root}: expected [^\n]*$"):
            list_root(root)


def test_unlabelled_goes_deep_and_survives_link_cycles(tmp_path):
    write(tmp_path / "pile" / "z.png", picture())
    write(tmp_path / "pile" / "a" / "b" / "c.gif", picture())
    write(tmp_path / "elsewhere" / "y.bmp", picture())
    os.symlink(tmp_path / "elsewhere", tmp_path / "pile" / "linked")
    os.symlink(tmp_path / "pile", tmp_path / "pile" / "a" / "up")
    os.symlink(tmp_path / "pile" / "self", tmp_path / "pile" / "self")
    source = FolderSource.unlabelled(tmp_path / "pile")
    assert list(source.files) == ["a/b/c.gif", "linked/y.bmp", "z.png"]
    assert source.labels.tolist() == [-1] * 3 and source.classes == ()


def test_fingerprint_sees_names_and_sizes_but_not_the_place(classes_folder, tmp_path):
    before = FolderSource.labelled(classes_folder).fingerprint
    classes_folder.rename(tmp_path / "moved")
    assert FolderSource.labelled(tmp_path / "moved").fingerprint == before
    (tmp_path / "moved" / "ape" / "0.png").rename(tmp_path / "moved" / "ape" / "00.png")
    renamed = FolderSource.labelled(tmp_path / "moved").fingerprint
    write(tmp_path / "moved" / "ape" / "00.png", picture(50, 50))
    assert len({before, renamed, FolderSource.labelled(tmp_path / "moved").fingerprint}) == 3


def test_a_source_can_be_pickled(classes_folder):
    source = FolderSource.labelled(classes_folder)
    for i in range(9):
        again = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(decode(again, i, 16), decode(source, i, 16))


def test_array_source_checks_and_returns_its_images():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    source = ArraySource(images, [2, 0, 1], "abc")
    assert source.labels.dtype == np.int64 and source.classes == ("a", "b", "c")
    np.testing.assert_array_equal(decode(source, 1, 8), images[1])
    assert decode(source, 1, 6).shape == (6, 6, 3)
    assert source.fingerprint == ArraySource(images.copy(), [2, 0, 1], "abc").fingerprint
    assert source.fingerprint != ArraySource(images, [2, 0, 0], "abc").fingerprint
    assert source.fingerprint != ArraySource(255 - images, [2, 0, 1], "abc").fingerprint
    for wrong in (images.astype(float), images[..., 0], images[:2], images[:0]):
        with pytest.raises(ValueError):
            ArraySource(wrong, [2, 0, 1], "abc")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".webp"])
def test_an_image_of_the_size_keeps_its_pixels(suffix, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    options = {"lossless": True} if suffix == ".webp" else {}
    path = write(tmp_path / f"x{suffix}", pixels, **options)
    np.testing.assert_array_equal(only(path, 32), pixels)


@pytest.mark.parametrize("width, height", [(50, 30), (30, 50), (97, 31), (8, 5), (60, 200)])
def test_covers_the_square_and_keeps_the_centre(width, height, tmp_path):
    side = min(width, height)
    x, y = np.meshgrid(2 * np.arange(width), np.arange(height))
    pixels = np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)
    found = only(write(tmp_path / "x.png", pixels), 32)
    centres = (np.arange(32) + 0.5) * side / 32 - 0.5
    across, down = 2 * ((width - side) / 2 + centres), (height - side) / 2 + centres
    expected = np.stack(np.meshgrid(across, down), axis=2)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8
    inner = slice(8, 24)  # at the image's own border the filter is one-sided
    assert np.abs(found[inner, inner, :2] - expected[inner, inner]).max() <= 1


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(only(write(tmp_path / "x.png", stripes), 32).astype(int) - 127).max() <= 6


@pytest.mark.parametrize("width, height, decoded", [(500, 375, (250, 188)), (800, 900, (100, 113)),
                                                    (191, 300, (191, 300)), (192, 96, (192, 96))])
def test_jpeg_is_read_at_a_smaller_scale_that_still_covers(width, height, decoded, tmp_path):
    path = write(tmp_path / "x.jpg", picture(width, height), quality=95)
    seen = []

    class Watching(FolderSource):
        def read(self, i):
            image = super().read(i)
            load = image.load
            image.load = lambda: (load(), seen.append(image.size))[0]
            return image

    watching = Watching.unlabelled(tmp_path)
    small = decode(watching, 0, IMAGENET_SIZE).astype(int)
    assert seen[-1] == decoded and min(decoded) >= IMAGENET_SIZE
    full = decode(ArraySource(np.array(Image.open(path))[None], [0], "a"), 0, IMAGENET_SIZE)
    assert np.abs(small - full).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    upright = picture(64, 64, seed=3)
    undo = {2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
            5: lambda x: x.transpose(1, 0, 2), 6: lambda x: np.rot90(x, 1),
            7: lambda x: x[::-1, ::-1].transpose(1, 0, 2), 8: lambda x: np.rot90(x, -1)}
    stored = np.ascontiguousarray(undo.get(orientation, lambda x: x)(upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "x.jpg", stored, exif=exif, quality=100, subsampling=0)
    assert np.abs(only(path, 64).astype(int) - upright).mean() < 2


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_a_tiff_turns_whether_it_is_compressed_or_not(mode, orientation, tmp_path):
    """Pillow maps an uncompressed one that it opens by name, and takes its width for its height."""
    grey = Image.fromarray(picture(48, 32)).convert("L")
    image = Image.fromarray(np.array(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw, packed = (only(write_tiff(tmp_path / f"{kind}/x.tif", image, kind, exif), 32) for kind in ("raw", "tiff_lzw"))
    assert np.array_equal(raw, packed)


def write_tiff(path, image, kind, exif):
    path.parent.mkdir()
    image.save(path, compression=kind, exif=exif)
    return path


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK", "YCbCr", "F", "I;16"])
def test_any_mode_becomes_rgb(mode, tmp_path):
    pixels = picture(32, 32)
    grey = np.array(Image.fromarray(pixels).convert("L"))
    path, expected = tmp_path / "x.tif", np.repeat(grey[..., None], 3, axis=2)
    if mode == "I;16":
        path = tmp_path / "x.png"
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        image = Image.fromarray(pixels).convert(mode)
        image.save(path)
        try:
            Image.open(path).load()
        except OSError:
            pytest.skip(f"this Pillow does not read the {mode} TIFF that it wrote")
        expected = expected if mode in ("L", "LA", "F") else np.array(image.convert("RGB"))
    found = only(path, 32)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= (3 if mode == "YCbCr" else 1)


def test_cmyk_jpeg(tmp_path):
    path = tmp_path / "x.jpg"
    Image.fromarray(picture(64, 64)).convert("CMYK").save(path, quality=95)
    assert np.abs(only(path, 64).astype(int) - picture(64, 64)).mean() < 4


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_an_animation_the_first_frame(suffix, tmp_path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:], **options)
    assert (only(tmp_path / f"x{suffix}", 32) == (255, 0, 0)).all()


def test_a_png_named_jpeg_is_read(tmp_path):
    pixels = picture(32, 32)
    write(tmp_path / "x.png", pixels).rename(tmp_path / "x.JPEG")
    np.testing.assert_array_equal(only(tmp_path / "x.JPEG", 32), pixels)


@pytest.mark.parametrize("kind", ["cut.jpg", "cut.png", "cut.webp", "cut.gif", "empty.jpg",
                                  "text.png", "link.jpg", "enormous.png"])
def test_unreadable_images_are_named(kind, tmp_path, monkeypatch):
    path = tmp_path / kind
    if kind == "link.jpg":
        os.symlink(tmp_path / "nowhere", path)
    else:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write(path, noise)
    if kind.startswith("cut"):
        path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    elif kind == "empty.jpg":
        path.write_bytes(b"")
    elif kind == "text.png":
        path.write_text("<html>404</html>")
    elif kind == "enormous.png":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=rf"^{path}: not a readable image \([^\n]+\)$"):
        only(path, 32)
