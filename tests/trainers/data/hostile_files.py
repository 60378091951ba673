"""Ways to spoil a folder of images and masks, each with what is to be said of it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

HALF = np.tile(np.uint8([0, 1]), (40, 24))


def truncated_png(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.write_bytes(path.read_bytes()[:200])
    return path


def empty_mask_file(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.write_bytes(b"")
    return path


def text_for_an_image(root: Path) -> Path:
    path = root / "val/images/val0.png"
    path.write_text("<html>404</html>")
    return path


def index_seven(root: Path) -> Path:
    path = root / "train/masks/train0.png"
    mask = HALF.copy()
    mask[0, :3] = 7
    Image.fromarray(mask).save(path)
    return path


def grey_png(path: Path, bits: int, rows: list[bytes], width: int) -> None:
    """Write a grey PNG of any depth; Pillow writes 8 bits and 16."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + len(rows).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def index_three_in_two_bits(root: Path) -> Path:
    """Spread over 0 to 255, as decoders do, a 3 would be the ignored value."""
    path = root / "train/masks/train0.png"
    grey_png(path, 2, [bytes([0b01_00_00_11]) + bytes([0b01_00_01_00] * 11)] * 40, 48)
    return path


def truncated_deep_png(root: Path) -> Path:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 48), np.uint16)
    path = root / "train/images/train1.png"
    Image.fromarray(deep).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def rgb_mask(root: Path) -> Path:
    path = root / "test/masks/test0.png"
    Image.fromarray(np.dstack([HALF * 255] * 3)).save(path)
    return path


def nan_in_a_tiff(root: Path) -> Path:
    pixels = np.random.default_rng(0).random((40, 48, 3)).astype(np.float32)
    for old in root.glob("*/images/*.png"):
        old.unlink()
        tifffile.imwrite(old.with_suffix(".tif"), pixels, photometric="rgb")
    path = root / "train/images/train2.tif"
    pixels[3, 4, 1] = np.nan
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


def decompression_bomb(root: Path) -> Path:
    path = root / "train/images/train1.png"
    rows = zlib.compressobj(9)
    data = (
        b"".join(rows.compress(bytes(30_001)) for _ in range(60)) + rows.flush()
    )  # the header lies about the rest

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    size = (30_000).to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + bytes([8, 0, 0, 0, 0]))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def tiff_bomb(root: Path) -> Path:
    old = root / "train/images/train1.png"
    old.unlink()
    path = old.with_suffix(".tif")
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        places = [tiff.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]  # type: ignore[union-attr]  # a page, not a frame
        widths = [tiff.pages[0].tags[name].dtype for name in ("ImageWidth", "ImageLength")]  # type: ignore[union-attr]  # likewise
    for place, kind in zip(places, widths, strict=True):
        size = 2 if int(kind) == 3 else 4
        content[place : place + size] = (30_000).to_bytes(size, "little")
    path.write_bytes(content)
    return path


def symlink_loop(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.symlink_to(path)
    return path


def dangling_link(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.unlink()
    path.symlink_to(root / "nowhere.png")
    return path


def folder_named_like_an_image(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.mkdir()
    return path


def pipe(root: Path) -> Path:
    path = root / "train/masks/train1.png"
    path.unlink()
    os.mkfifo(path)
    return path


def device(root: Path) -> Path:
    path = root / "train/images/train1.png"
    path.unlink()
    path.symlink_to("/dev/zero")
    return path


def missing_mask(root: Path) -> Path:
    (root / "val/masks/val1.png").unlink()
    return root / "val/images/val1.png"


def mask_without_image(root: Path) -> Path:
    (root / "val/images/val1.png").unlink()
    return root / "val/masks/val1.png"


def size_mismatch(root: Path) -> Path:
    path = root / "val/masks/val1.png"
    Image.fromarray(HALF[:30]).save(path)
    return path


def another_number_of_bands(root: Path) -> Path:
    path = root / "test/images/test0.png"
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(path)
    return path


def two_pages(root: Path) -> Path:
    path = root / "train/masks/train0.tif"
    (root / "train/masks/train0.png").unlink()
    tifffile.imwrite(path, np.zeros((2, 40, 48), np.uint8), photometric="minisblack")
    return path


def twice_the_same_stem(root: Path) -> Path:
    path = root / "train/images/train0.tif"
    tifffile.imwrite(path, np.zeros((40, 48, 3), np.uint8), photometric="rgb")
    return path if path.name > "train0.png" else root / "train/images/train0.png"


def fractional_mask(root: Path) -> Path:
    (root / "train/masks/train0.png").unlink()
    path = root / "train/masks/train0.tif"
    tifffile.imwrite(path, np.full((40, 48), 0.5, np.float32))
    return path


HOSTILE: dict[Callable[[Path], Path], str] = {
    truncated_png: "damaged",
    empty_mask_file: "empty (0 bytes)",
    text_for_an_image: "neither PNG, JPEG nor TIFF",
    index_seven: "7 in 3 pixels; allowed: 0 to 1 (background, foreground), or 255 for ignored",
    index_three_in_two_bits: "3 in 40 pixels; allowed: 0 to 1",
    truncated_deep_png: "damaged",
    rgb_mask: "colors, not class indices",
    nan_in_a_tiff: "NaN",
    decompression_bomb: "30000 x 30000",
    tiff_bomb: "30000 x 30000",
    symlink_loop: "links",
    dangling_link: "missing",
    folder_named_like_an_image: "folder",
    pipe: "a pipe, socket or device",
    device: "a pipe, socket or device",
    missing_mask: "image has no mask",
    mask_without_image: "mask has no image",
    size_mismatch: "48 x 30 pixels; allowed: 48 x 40",
    another_number_of_bands: "1 band of uint8; allowed: 3 bands of uint8",
    two_pages: "2 pages",
    twice_the_same_stem: "the same stem",
    fractional_mask: "no whole numbers",
}
