"""Reads one image file into an array of its bands; whatever is wrong with the file ends in one clear line."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import TiffFile, TiffPage

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.source import Pixels

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MAGIC: Final = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# The classes themselves rather than Image.open: that checks a global limit, where ours comes with the spec.
_PILLOW: Final = {"PNG": PngImageFile, "JPEG": JpegImageFile}
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs about damaged files, we raise


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded file, its bands as stored.

    Attributes:
        values: (height, width, bands), any dtype; palette files hold indices.
        alpha: (height, width) bool, True where at least partly opaque; None without an alpha channel.
        palette: (colors, 3) of a palette file, else None.
        step: of a grey file of 1, 2 or 4 bits: how many of 255 levels one of its own is.
    """

    values: NDArray[Any]
    alpha: NDArray[np.bool_] | None = None
    palette: NDArray[np.uint8] | None = None
    step: int = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's first bytes say: width and height in pixels."""

    width: int
    height: int


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
        header = _tiff_header(file) if kind == "TIFF" else Header(*_PILLOW[kind](file).size)
        _check_size(path, header, largest)
    return header


def read_picture(path: Path, largest: int) -> Picture:
    """Decode an image file (PNG, JPEG or TIFF; 8 or 16 bit or float; 1 to N bands).

    Raises:
        UserError: as `read_header`, or the file is truncated or of a kind that can't be decoded.
    """
    with _reported(path), _opened(path) as (file, kind):
        if kind == "TIFF":
            _check_size(path, _tiff_header(file), largest)
            file.seek(0)
            picture = _read_tiff(path, file)
        else:
            image = _PILLOW[kind](file)
            _check_size(path, Header(*image.size), largest)
            picture = _read_pillow(image, file)
    return picture


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
            raise UserError(Problem("file is neither PNG, JPEG nor TIFF", file=str(path)))
        yield file, kind


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


def _read_pillow(image: Image.Image, file: BinaryIO) -> Picture:
    bits = _png_bits(file) if image.format == "PNG" else 8
    if bits == 16 and not image.mode.startswith("I"):
        return _split_alpha(_png16(file), alpha=image.mode == "RGBA")  # Pillow would halve its depth
    image.load()
    if image.mode == "CMYK":
        image = image.convert("RGB")
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return Picture(np.asarray(image)[..., None], palette=palette)
    if image.mode in ("LA", "RGBA", "PA"):
        return _split_alpha(np.asarray(image), alpha=True)
    values = np.asarray(image)
    if values.dtype == bool:
        return Picture(_three(values.astype(np.uint8)), step=255)
    if image.mode == "L" and bits < 8:  # Pillow spreads 2 and 4 bits over 255 levels, and 1 in a mask is 85
        step = 255 // (2**bits - 1)
        return Picture(_three(values // step), step=step)
    return Picture(_three(values))


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


def _split_alpha(values: NDArray[Any], alpha: bool) -> Picture:
    values = _three(values)
    return Picture(values[..., :-1], alpha=values[..., -1] > 0) if alpha else Picture(values)


def _three(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., None] if values.ndim == 2 else values


def _tiff_header(file: BinaryIO) -> Header:
    with TiffFile(file) as tiff:
        page = _only_page(tiff)
        return Header(page.imagewidth, page.imagelength)


def _only_page(tiff: TiffFile) -> TiffPage:
    if len(tiff.pages) != 1:
        raise ValueError(
            f"it holds {len(tiff.pages)} pages; save it as one page, with several bands if need be"
        )
    page = tiff.pages[0]
    assert isinstance(page, TiffPage)
    return page


def _read_tiff(path: Path, file: BinaryIO) -> Picture:
    with TiffFile(file) as tiff:
        page = _only_page(tiff)
        alpha = any(int(extra) in (1, 2) for extra in page.extrasamples)  # associated or unassociated alpha
        axes, colormap = page.axes, page.colormap
        inverted = int(page.photometric) == 0  # "white is zero"
        try:
            values = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            values, axes = _read_compressed(path, file)
            inverted = False  # Pillow's are as they are shown
    if "S" in axes and axes.index("S") < axes.index("Y"):
        values = np.moveaxis(values, axes.index("S"), -1)
    values = _three(values)
    if values.ndim != 3:
        raise ValueError(f"it has the axes {axes}; only height, width and bands are understood")
    if colormap is not None:
        return Picture(values, palette=(np.asarray(colormap).T >> 8).astype(np.uint8))
    if values.dtype == bool:
        # As it is shown: in a file that calls 0 white, tifffile leaves the white at 0.
        return Picture((values ^ inverted).astype(np.uint8), step=255)
    return _split_alpha(values, alpha and values.shape[2] > 1)


def _read_compressed(path: Path, file: BinaryIO) -> tuple[NDArray[Any], str]:
    """Read a compression tifffile can't (LZW, JPEG): by Pillow, or by rasterio if that is there."""
    file.seek(0)
    image = TiffImageFile(file)
    bits = image.tag_v2.get(258, (1,))
    if max(bits) <= 8 or len(bits) == 1:  # Pillow halves the depth of several 16-bit bands
        values = np.asarray(image)
        return values, "YXS" if values.ndim == 3 else "YX"
    try:
        import rasterio
    except ImportError:
        raise ValueError(
            "its compression needs `pip install lossweep[geo]`; or save it with deflate compression"
        ) from None
    with rasterio.open(path) as dataset:
        return dataset.read(), "SYX"


def as_image(picture: Picture) -> tuple[Pixels, tuple[str, ...]]:
    """Return a picture as an image (height, width, bands), and notes on what was changed.

    It is uint8, uint16, or float32 for values that have to be scaled.

    Raises:
        ValueError: its values fit none of these.
    """
    values = picture.values
    if picture.palette is not None:
        if int(values.max(initial=0)) >= len(picture.palette):
            raise ValueError(
                f"its palette has {len(picture.palette)} colors, but a pixel names color {values.max()}"
            )
        return picture.palette[values[..., 0]], ("palette image, its colors taken as red, green and blue",)
    notes: tuple[str, ...] = ()
    if picture.alpha is not None:
        opaque = bool(picture.alpha.all())
        notes = ("alpha channel dropped" if opaque else "transparent pixels taken as ignored",)
    if values.dtype in (np.uint8, np.uint16):
        return (values * np.uint8(picture.step) if picture.step > 1 else values), notes
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what gets infinite is told where infinite values are
            return values.astype(np.float32), notes
    if values.dtype.kind in "iu":
        return values.astype(np.float32), (*notes, f"{values.dtype} values scaled by percentiles")
    raise ValueError(f"its samples are {values.dtype}, but uint8, uint16 or float is needed")
