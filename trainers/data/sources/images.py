"""Reads one image file into an array of its bands; whatever is wrong with the file ends in one clear line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources import tiff
from lossweep.trainers.data.sources.picture import NotUnderstood, Picture, orientation, split_alpha, three

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MAGIC: Final = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# The classes themselves rather than Image.open: that checks a global limit, where ours comes with the spec.
_PILLOW: Final = {"PNG": PngImageFile, "JPEG": JpegImageFile}


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's first bytes say: width and height in pixels as stored, and its EXIF orientation."""

    width: int
    height: int
    orientation: int = 1


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into a `UserError` that names the file."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(Problem("file is missing (or a dangling link)", file=str(path))) from None
    except PermissionError:
        raise UserError(Problem("file can't be read: permission denied", file=str(path))) from None
    except MemoryError:
        raise UserError(Problem("image is too large for this machine's memory", file=str(path))) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(Problem("symbolic links lead in a circle", file=str(path))) from None
        raise UserError(Problem(f"file is damaged or no image: {_line(error)}", file=str(path))) from None
    except NotUnderstood as error:
        raise UserError(Problem(str(error), file=str(path))) from None
    except Exception as error:  # decoders raise anything at all on damaged files: struct.error, KeyError, ...
        raise UserError(Problem(f"file is damaged or no image: {_line(error)}", file=str(path))) from None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def read_header(path: Path, largest: int) -> Header:
    """Read the size of an image without decoding it.

    Raises:
        UserError: the file is missing, empty, no image, or has more than ``largest`` pixels.
    """
    with _reported(path), _opened(path) as (file, kind):
        if kind == "TIFF":
            header = Header(*tiff.read_size(file))
        else:
            image = _PILLOW[kind](file)
            header = Header(*image.size, orientation_of(image))
        _check_size(path, header, largest)
    return header


def read_picture(path: Path, largest: int) -> Picture:
    """Decode an image file (PNG, JPEG or TIFF; 8 or 16 bit or float; 1 to N bands).

    Raises:
        UserError: as `read_header`, or the file is truncated or of a kind that can't be decoded.
    """
    with _reported(path), _opened(path) as (file, kind):
        if kind == "TIFF":
            _check_size(path, Header(*tiff.read_size(file)), largest)
            return tiff.read_tiff(path, file)
        image = _PILLOW[kind](file)
        _check_size(path, Header(*image.size), largest)
        orientation = orientation_of(image)  # before decoding: only the file knows where to look for it
        picture = _read_pillow(image, file)
    return replace(picture, orientation=orientation, lossy=kind == "JPEG")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file and tell its format by its first bytes, whatever its name says."""
    if path.is_dir():
        raise UserError(Problem("is a folder, not an image", file=str(path)))
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if not start:
            raise UserError(Problem("file is empty (0 bytes)", file=str(path)))
        kind = next((kind for kind, magics in _MAGIC.items() if start.startswith(magics)), None)
        if kind is None:
            found = _kind_of(path)
            raise UserError(Problem("file is neither PNG, JPEG nor TIFF", file=str(path), found=found))
        yield file, kind


def _kind_of(path: Path) -> str | None:
    """What a file of another kind is called."""
    try:
        with Image.open(path) as image:
            return image.format
    except Exception:  # it is nothing that Pillow knows
        return None


def _check_size(path: Path, header: Header, largest: int) -> None:
    if header.width * header.height > largest:
        raise UserError(
            Problem(
                "image is too large to decode whole",
                file=str(path),
                found=f"{header.width} x {header.height} pixels",
                allowed=f"at most {largest:,} pixels",
                hint="cut it into tiles, use `source: raster` (reads by windows), or raise `largest_image`",
            )
        )
    if header.width * header.height == 0:
        raise UserError(Problem("image has no pixels", file=str(path)))


def orientation_of(image: Image.Image) -> int:
    """Return how EXIF says that an image is turned, 1 (not at all) when it doesn't say or can't be read."""
    try:
        return orientation(image.getexif().get(274))
    except Exception:  # pixels can be whole where the camera's notes on them are not
        return 1


def _read_pillow(image: Image.Image, file: BinaryIO) -> Picture:
    bits = _png_bits(file) if image.format == "PNG" else 8
    if bits == 16 and not image.mode.startswith("I"):
        return split_alpha(_png16(file), alpha=image.mode == "RGBA")  # Pillow would halve its depth
    image.load()
    if image.mode == "CMYK":
        values = np.asarray(image.convert("RGB"))
        return Picture(values, notes=("cyan, magenta, yellow and black turned into red, green and blue",))
    if image.mode in ("LA", "RGBA"):
        return split_alpha(np.asarray(image), alpha=True)
    values = np.asarray(image)
    alpha = _keyed_alpha(values, image.info.get("transparency"))
    if image.mode == "P":
        return Picture(three(values), alpha, palette_of(image))
    if values.dtype == bool:
        return Picture(three(values.astype(np.uint8)), alpha, step=255)
    if image.mode == "L" and bits < 8:  # Pillow spreads 2 and 4 bits over 255 levels, and 1 in a mask is 85
        step = 255 // (2**bits - 1)
        return Picture(three(values // step), alpha, step=step)
    return Picture(three(values), alpha)


def palette_of(image: Image.Image) -> NDArray[np.uint8]:
    """The colors (colors, 3) of a palette image."""
    return np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)


def _keyed_alpha(values: NDArray[Any], key: Any) -> NDArray[np.bool_] | None:
    """What is opaque in a PNG that calls one value or color transparent, or gives its palette an alpha."""
    if isinstance(key, bytes):
        opaque = np.ones(256, bool)
        opaque[: len(key)] = np.frombuffer(key, np.uint8) > 0
        return np.asarray(opaque[values])
    if isinstance(key, (int, tuple)):
        differs = values != np.array(key)
        return np.asarray(differs.any(axis=2) if differs.ndim == 3 else differs)
    return None


def _png_bits(file: BinaryIO) -> int:
    """Bits per sample: the byte after width and height in the first chunk (PNG specification, 11.2.2)."""
    file.seek(24)
    return file.read(1)[0]


def _png16(file: BinaryIO) -> NDArray[np.uint16]:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    file.seek(0)
    encoded = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
    try:
        decoded = decode_png(encoded, ImageReadMode.UNCHANGED)
    except RuntimeError:  # it names a line of torchvision's source
        raise ValueError("its 16-bit pixels are cut short or damaged") from None
    return np.asarray(decoded.permute(1, 2, 0).numpy(), np.uint16)
