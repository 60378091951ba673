"""Reads a TIFF's one image by whichever reader can: tifffile, Pillow, or rasterio where that is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, TiffFile, TiffPage

from lossweep.trainers.data.sources.picture import (
    NotUnderstood,
    Picture,
    orientation,
    split_alpha,
    three,
    upright,
)

_NODATA, _ORIENTATION = 42113, 274
_REDUCED, _MASK = 1, 4
"""Bits of a page's subfile type: a smaller copy of another page; a page that says which pixels are valid."""
_LOSSY = (6, 7)
"""The compressions that are JPEG."""
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs about damaged files, we raise


def read_size(file: BinaryIO) -> tuple[int, int, int]:
    """Return width, height and orientation, read from the headers; the file is left at its start."""
    with TiffFile(file) as tiff:
        page = _pages(tiff)[0]
        found = page.imagewidth, page.imagelength, _orientation(page)
    file.seek(0)
    return found


def read_tiff(path: Path, file: BinaryIO) -> Picture:
    """Decode a TIFF of one page; smaller copies of it (overviews) are left out.

    Raises:
        NotUnderstood: it holds several pages, or axes other than height, width and bands.
        Exception: anything at all, of the reader that failed first, when none can read it.
    """
    with TiffFile(file) as tiff:
        page, *masks = _pages(tiff)
        picture = page_picture(page, _decoded(path, file, page))
        for mask in masks:
            part = np.asarray(mask.asarray()).reshape(mask.shape[:2]) > 0
            picture = replace(picture, alpha=part if picture.alpha is None else picture.alpha & part)
    return picture


def image_page(tiff: TiffFile) -> TiffPage:
    """Return the page that holds the image.

    Raises:
        NotUnderstood: there are several.
    """
    return _pages(tiff)[0]


def page_picture(page: TiffPage, values: NDArray[Any]) -> Picture:
    """Return samples (height, width, bands) of a page, all or a part, with what the page says of them."""
    # Associated or unassociated alpha.
    alpha = any(int(extra) in (1, 2) for extra in page.extrasamples) and values.shape[2] > 1
    if page.colormap is not None:
        picture = Picture(values, palette=_palette(np.asarray(page.colormap)))
    elif values.dtype == bool:
        # As it is shown: in a file that calls 0 white, the white is stored as 0.
        inverted = int(page.photometric) == 0  # "white is zero"
        picture = Picture((values ^ inverted).astype(np.uint8), step=255)
    else:
        picture = split_alpha(values, alpha)
        if page.bitspersample in (2, 4) and values.shape[2] == 1:
            picture = replace(picture, step=255 // (2**page.bitspersample - 1))
    lossy = int(page.compression) in _LOSSY
    return replace(picture, nodata=_nodata(page), orientation=_orientation(page), lossy=lossy)


def _pages(tiff: TiffFile) -> list[TiffPage]:
    """The page of the image, and those that mask it."""
    pages = [page for page in tiff.pages if isinstance(page, TiffPage) and not page.subfiletype & _REDUCED]
    images = [page for page in pages if not page.subfiletype & _MASK]
    if len(images) != 1:
        raise NotUnderstood(
            f"file holds {len(images)} pages; save it as one page, with several bands if need be"
        )
    return images + [page for page in pages if page.subfiletype & _MASK]


def _nodata(page: TiffPage) -> float | None:
    """The value that GDAL's tag calls none; None without the tag, or when it is no number."""
    tag = page.tags.get(_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip().strip("\0"))
    except ValueError:
        return None


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else orientation(tag.value)


def _palette(colormap: NDArray[Any]) -> NDArray[np.uint8]:
    """The colors (colors, 3) of a color map (3, colors), of 16 bits as it should be, or of 8 as in some."""
    deep = int(colormap.max(initial=0)) > 255
    return (colormap.T >> (8 if deep else 0)).astype(np.uint8)


def _decoded(path: Path, file: BinaryIO, page: TiffPage) -> NDArray[Any]:
    """The samples as stored, (height, width, bands)."""
    readers: tuple[Callable[[], NDArray[Any]], ...] = (
        lambda: _by_tifffile(page),
        lambda: _by_pillow(file, page),
        lambda: _by_rasterio(path, page),
    )
    failures = list[Exception]()
    for reader in readers:
        try:
            values = reader()
        except Exception as error:  # each raises what it likes on what it can't read
            failures.append(error)
            continue
        if values.shape[:2] == (page.imagelength, page.imagewidth):
            return values.astype(values.dtype.newbyteorder("="), copy=False)
        failures.append(ValueError(f"it decodes to {values.shape[1]} x {values.shape[0]} pixels"))
    first, *_, last = failures
    if isinstance(first, NotUnderstood):
        raise first
    if _lacks_a_codec(first) and isinstance(last, ImportError):
        raise NotUnderstood(
            f"nothing that is installed reads the file's compression ({COMPRESSION(page.compression).name}):"
            " `pip install 'lossweep[geo]'` reads more; or save it with deflate compression"
        )
    raise last if _lacks_a_codec(first) else first


def _lacks_a_codec(error: Exception) -> bool:
    """Whether it was tifffile that lacked something, rather than the file."""
    return isinstance(error, ImportError) or "imagecodecs" in str(error)


def _by_tifffile(page: TiffPage) -> NDArray[Any]:
    values, axes = np.asarray(page.asarray()), page.axes
    if "S" in axes and axes.index("S") < axes.index("Y"):
        values = np.moveaxis(values, axes.index("S"), -1)
    values = three(values)
    if values.ndim != 3:
        raise NotUnderstood(f"file has the axes {axes}; only height, width and bands are understood")
    return values


class _Sized(TiffImageFile):
    """A TIFF whose size was checked: Pillow has a limit of its own, for all of the process."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        ImageFile.ImageFile.load_prepare(self)


def _by_pillow(file: BinaryIO, page: TiffPage) -> NDArray[Any]:
    """Read what Pillow reads faithfully, and undo what it does to show it."""
    file.seek(0)
    tiff = _Sized(file)
    bits, kinds = tiff.tag_v2.get(258, (1,)), tiff.tag_v2.get(339, (1,))
    if max(bits) > 8 and len(bits) > 1:
        raise ValueError("Pillow halves the depth of several 16-bit bands")
    if max(bits) <= 8 and set(kinds) != {1}:
        raise ValueError("Pillow takes signed bytes for unsigned ones")
    tiff.load()
    image = tiff.convert("RGB") if tiff.mode == "YCbCr" else tiff  # as tifffile's own codecs return it
    values = np.asarray(image)
    said = _orientation(page)
    values = upright(values, {6: 8, 8: 6}.get(said, said))
    inverted = int(page.photometric) == 0
    if values.dtype == bool:
        return three(values ^ inverted)
    if image.mode == "L":
        values = (255 - values if inverted else values) // (255 // (2 ** max(bits) - 1))
    return three(values)


def _by_rasterio(path: Path, page: TiffPage) -> NDArray[Any]:
    import rasterio

    with rasterio.open(path, driver="GTiff") as dataset:
        values = np.moveaxis(dataset.read(), 0, -1)
    return values.astype(bool) if page.bitspersample == 1 else values
