"""A TIFF is read by whichever reader can, as it is stored, whatever its compression, byte order and pages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image, features

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.images import read_header, read_picture
from lossweep.trainers.data.sources.picture import as_image

RGB = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
COMPRESSIONS = ["raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "zstd", "lzma"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_lossless_compression_is_read(compression: str, tmp_path: Path) -> None:
    try:
        Image.fromarray(RGB).save(tmp_path / "x.tif", compression=compression)
    except (OSError, RuntimeError, KeyError):
        pytest.skip(f"this Pillow can't write {compression} ({features.version('libtiff')})")
    picture = read_picture(tmp_path / "x.tif", 10**6)
    np.testing.assert_array_equal(picture.values, RGB)
    assert not picture.lossy


@pytest.mark.parametrize(("bands", "dtype"), [(1, "int8"), (3, "uint16"), (4, "uint16"), (5, "int8")])
def test_what_only_rasterio_reads_is_read(bands: int, dtype: str, tmp_path: Path) -> None:
    """Pillow halves 16 bits of several bands, and takes signed bytes for unsigned ones."""
    pixels = np.random.default_rng(0).integers(-100, 100, (bands, 9, 11)).astype(dtype)
    options = {"height": 9, "width": 11, "count": bands, "dtype": dtype, "compress": "lzw"}
    with rasterio.open(
        tmp_path / "x.tif", "w", driver="GTiff", photometric="MINISBLACK", **options
    ) as dataset:
        dataset.write(pixels)
    picture = read_picture(tmp_path / "x.tif", 10**6)
    np.testing.assert_array_equal(picture.values, np.moveaxis(pixels, 0, -1))


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {}), ("tif", {"compression": "jpeg"})])
def test_what_a_jpeg_changed_is_known(suffix: str, options: dict[str, str], tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / f"x.{suffix}", **options)
    assert read_picture(tmp_path / f"x.{suffix}", 10**6).lossy


def test_without_rasterio_the_extra_and_the_compression_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rasterio.open(
        tmp_path / "x.tif", "w", driver="GTiff", height=9, width=11, count=3, dtype="uint16", compress="lzw"
    ) as dataset:
        dataset.write(np.zeros((3, 9, 11), np.uint16))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UserError, match=r"LZW.*pip install 'lossweep\[geo\]'"):
        read_picture(tmp_path / "x.tif", 10**6)


def test_damaged_pixels_are_read_by_none(tmp_path: Path) -> None:
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        Image.fromarray(RGB).save(tmp_path / "x.tif", compression=compression)
        content = (tmp_path / "x.tif").read_bytes()
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            (offset,) = tiff.pages[0].dataoffsets
        (tmp_path / "x.tif").write_bytes(content[:offset] + b"\xff" * 30 + content[offset + 30 :])
        with pytest.raises(UserError, match="damaged"):
            read_picture(tmp_path / "x.tif", 10**6)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_either_byte_order_keeps_16_bits(compression: str | None, tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11), np.uint16)
    if compression == "lzw":
        tifffile.imwrite(tmp_path / "x.tif", deep, byteorder=">", photometric="minisblack")
        with Image.open(tmp_path / "x.tif") as image:
            image.save(tmp_path / "x.tif", compression="tiff_lzw")
    else:
        tifffile.imwrite(
            tmp_path / "x.tif", deep, byteorder=">", photometric="minisblack", compression=compression
        )
    image, notes = as_image(read_picture(tmp_path / "x.tif", 10**6))
    assert image.dtype == np.uint16
    assert notes == ()
    np.testing.assert_array_equal(image[..., 0], deep)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_file_that_calls_0_white_is_taken_as_stored_by_every_reader(
    compression: str | None, tmp_path: Path
) -> None:
    stored = RGB[..., 0]
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="miniswhite")
    if compression:
        with Image.open(tmp_path / "x.tif") as image:
            shown = image.copy()
        shown.save(tmp_path / "x.tif", compression=compression, tiffinfo={262: 0})
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            if int(tiff.pages[0].photometric) != 0:
                pytest.skip("this Pillow writes black as 0")
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif", 10**6).values[..., 0], stored)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_shallow_tiff_holds_its_samples(bits: int, tmp_path: Path) -> None:
    """A 1 of 4 bits is 1 in a mask, and 17 as it is shown; Pillow, which unpacks it, returns the 17."""
    levels = 2**bits
    samples = np.arange(32, dtype=np.uint8).reshape(4, 8) % levels
    per_byte = 8 // bits
    packed = np.zeros((4, 8 // per_byte), np.uint8)
    for place in range(per_byte):
        packed |= samples[:, place::per_byte] << (bits * (per_byte - 1 - place))
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 8), np.uint8), photometric="minisblack")
    content = bytearray((tmp_path / "x.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        page = tiff.pages[0]
        (offset,) = page.dataoffsets
        places = {name: page.tags[name].valueoffset for name in ("BitsPerSample", "StripByteCounts")}
    content[offset : offset + packed.size] = packed.tobytes()
    content[places["BitsPerSample"]] = bits
    content[places["StripByteCounts"]] = packed.size
    (tmp_path / "x.tif").write_bytes(content)
    picture = read_picture(tmp_path / "x.tif", 10**6)
    np.testing.assert_array_equal(picture.values[..., 0], samples)
    np.testing.assert_array_equal(as_image(picture)[0][..., 0], samples * (255 // (levels - 1)))


@pytest.mark.parametrize("deep", [True, False])
def test_a_color_map_of_16_or_of_8_bits_gives_its_colors(deep: bool, tmp_path: Path) -> None:
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, 1] = 200, 30, 10
    indices = np.eye(4, dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "x.tif", indices, photometric="palette", colormap=colormap * 256 if deep else colormap
    )
    image, _ = as_image(read_picture(tmp_path / "x.tif", 10**6))
    np.testing.assert_array_equal(image[0, 0], [200, 30, 10])
    np.testing.assert_array_equal(image[0, 1], [0, 0, 0])


def test_smaller_copies_and_masks_of_the_image_are_no_pages_of_their_own(tmp_path: Path) -> None:
    """A cloud-optimized GeoTIFF: overviews, and a page that says which pixels are valid."""
    shown = np.ones((9, 11), bool)
    shown[:3] = False
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(shown, subfiletype=4, photometric="mask")
        writer.write(RGB[::2, ::2], subfiletype=1, photometric="rgb")
    picture = read_picture(tmp_path / "x.tif", 10**6)
    np.testing.assert_array_equal(picture.values, RGB)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, shown)
    assert (read_header(tmp_path / "x.tif", 10**6).height, read_header(tmp_path / "x.tif", 10**6).width) == (
        9,
        11,
    )


def test_a_file_larger_than_pillow_s_own_limit_is_read_within_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "x.tif", tmp_path / "x.png", tmp_path / "x.jpg"]
    Image.fromarray(RGB).save(paths[0], compression="tiff_lzw")
    for path in paths[1:]:
        Image.fromarray(RGB).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for path in paths:
        assert read_picture(path, 10**6).values.shape == RGB.shape


@pytest.mark.parametrize(
    ("text", "expected"), [("-9999", -9999.0), ("nan", np.nan), (" 0 ", 0.0), ("none", None)]
)
def test_gdal_s_nodata_is_read(text: str, expected: float | None, tmp_path: Path) -> None:
    tags = [(42113, "s", 0, text, True)]
    tifffile.imwrite(tmp_path / "x.tif", RGB.astype(np.float32), photometric="rgb", extratags=tags)
    found = read_picture(tmp_path / "x.tif", 10**6).nodata
    assert (found == expected) or (expected is not None and found is not None and found != found)
