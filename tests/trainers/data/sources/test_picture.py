"""What a file says of its pixels: how it is turned, and which of them are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lossweep.trainers.data.sources.images import read_header, read_picture
from lossweep.trainers.data.sources.picture import TURNED, Picture, holds_nodata


@pytest.mark.parametrize("orientation", [1, *TURNED])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".lzw.tif"])
def test_upright_is_what_a_viewer_shows(orientation: int, suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    picture, path = Image.fromarray(pixels), tmp_path / f"x{suffix}"
    exif = picture.getexif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if "lzw" in suffix else {}
    picture.save(path, exif=exif, **options)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    read = read_picture(path, 10**6)
    assert read.orientation == orientation
    assert read_header(path, 10**6).orientation == orientation
    assert read.values.shape == pixels.shape
    if suffix != ".jpg":
        np.testing.assert_array_equal(read.values, pixels)
    np.testing.assert_array_equal(read.upright().values, shown)


@pytest.mark.parametrize("tag", [0, 9, 300])
def test_an_orientation_that_is_none_turns_nothing(tag: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((8, 12, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = tag
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg", 10**6).orientation == 1


def test_damaged_exif_is_no_damaged_image(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((8, 12, 3), np.uint8))
    picture.save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert read_picture(tmp_path / "x.jpg", 10**6).values.shape == (8, 12, 3)


@pytest.mark.parametrize(
    ("dtype", "stored", "nodata", "expected"),
    [
        (np.uint8, 7, 7, [False, False, True]),  # one dark band is a dark pixel
        (np.uint16, 7, 7, [False, False, True]),
        (np.int16, -9999, -9999, [False, True, True]),  # one such band would set the scale of all
        (np.float32, -9999, -9999, [False, True, True]),
        (np.float32, np.nan, np.nan, [False, True, True]),
        (np.float32, np.finfo(np.float32).min, -3.40282346638529e38, [False, True, True]),
        (np.uint8, 241, -9999, [False, False, False]),
        (np.uint16, 0, 0.5, [False, False, False]),
    ],
)
def test_nodata_is_a_whole_pixel_or_in_scaled_bands_any_band(
    dtype: type, stored: float, nodata: float, expected: list[bool]
) -> None:
    values = np.full((1, 3, 2), 9, dtype)
    values[0, 1, 0] = values[0, 2] = stored
    np.testing.assert_array_equal(holds_nodata(values, nodata)[0], expected)


def test_what_is_transparent_or_nodata_is_not_valid(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    alpha = np.array([[True, False, True], [True, True, True]])
    valid, notes = Picture(values, alpha=alpha, nodata=5).valid()
    assert valid is not None
    np.testing.assert_array_equal(valid, [[True, False, True], [True, True, False]])
    assert Picture(values).valid() == (None, ())
    assert [note.split()[0] for note in notes] == ["transparent", "pixels"]
    assert "nodata value (5)" in notes[1]


def test_a_color_that_a_png_calls_transparent_is(tmp_path: Path) -> None:
    grey = np.array([[3, 4, 5]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png", transparency=4)
    rgb = np.stack([grey, grey, np.full_like(grey, 4)], axis=2)
    Image.fromarray(rgb).save(tmp_path / "rgb.png", transparency=(4, 4, 4))
    indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    indexed.putpalette([9, 9, 9, 8, 8, 8, 7, 7, 7])
    indexed.save(tmp_path / "one.png", transparency=1)
    indexed.save(tmp_path / "many.png", transparency=b"\xff\0\x80")
    for name in ("grey", "rgb", "one", "many"):
        alpha = read_picture(tmp_path / f"{name}.png", 100).alpha
        assert alpha is not None
        np.testing.assert_array_equal(alpha, [[True, False, True]])


def test_ink_is_turned_into_light_and_noted(tmp_path: Path) -> None:
    ink = Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).convert("CMYK")
    ink.save(tmp_path / "x.jpg")
    picture = read_picture(tmp_path / "x.jpg", 100)
    assert picture.values.shape == (8, 8, 3)
    assert abs(picture.values.astype(int) - 90).max() < 4
    assert "cyan" in picture.notes[0]
