"""Images in files, read by windows where their format allows it, with where they lie on Earth."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.crops.normalization import Normalization
from lossweep.trainers.data.sources import geotiff
from lossweep.trainers.data.sources.images import read_header
from lossweep.trainers.data.sources.picture import three
from lossweep.trainers.data.sources.tiff import image_page, page_picture
from lossweep.trainers.inference.blending import Scene
from lossweep.trainers.inference.pictures import LARGEST, Shown, of_picture, shown

TIFFS: Final = (".tif", ".tiff")
_GEOREFERENCE: Final = (33550, 33922, 34264, 34735, 34736, 34737)
"""The tags of a GeoTIFF that say where it lies (OGC 19-008r4): scale, tie points, transform, and keys."""
_CACHE: Final = 64 * 2**20
"""Bytes of decoded blocks that are kept: by default GDAL takes a share of the machine's memory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies on Earth, as its reader says it; all None where it does not say.

    Attributes:
        crs: its coordinate system, of rasterio.
        transform: from (column, row) to its coordinates, of rasterio.
        gcps: ground control points with their system, of rasterio.
        tags: of tifffile, to be copied: (code, dtype, count, value).
    """

    crs: Any = None
    transform: Any = None
    gcps: Any = None
    tags: tuple[tuple[Any, ...], ...] = ()


class PlacedScene(Scene, Protocol):
    """A scene that knows where it lies."""

    place: Place


def has_rasterio() -> bool:
    """Whether the extra ``geo`` is installed."""
    return importlib.util.find_spec("rasterio") is not None


@contextmanager
def opened_scene(path: Path, normalization: Normalization, most_pixels: int) -> Iterator[PlacedScene]:
    """Open an image file, to be read by windows where it is a TIFF.

    What its first window shows is checked against the model at once.

    Args:
        path: of the image.
        normalization: of the model.
        most_pixels: TIFFs of at most so many are read whole, by all the readers that training data have.

    Raises:
        UserError: it can't be read, or is of another kind than the images of the training.
    """
    header = read_header(path, 2**62)
    tiff = path.suffix.lower() in TIFFS
    if not tiff:
        yield _Whole(shown(path, normalization), Place())
    elif has_rasterio():
        import rasterio

        with rasterio.Env(GDAL_CACHEMAX=_CACHE), geotiff.opened(path) as dataset:
            scene = _ByRasterio(path, dataset, normalization)
            scene.read(0, 0, 1, 1)
            yield scene
    else:
        with path.open("rb") as file, TiffFile(file) as found:
            page = image_page(found)
            place = Place(tags=tuple(_georeference(page)))
            if header.width * header.height <= min(most_pixels, LARGEST):
                yield _Whole(shown(path, normalization), place)
                return
            windows = _ByTifffile(path, page, place, normalization)
            windows.read(0, 0, 1, 1)
            yield windows


class _Whole:
    """An image in memory."""

    def __init__(self, image: Shown, place: Place) -> None:
        self._image, self.place = image, place
        self.shape = (image.pixels.shape[0], image.pixels.shape[1])

    def read(self, row: int, column: int, height: int, width: int) -> Shown:
        part = np.s_[row : row + height, column : column + width]
        valid = self._image.valid
        return Shown(self._image.pixels[part], None if valid is None else valid[part])


class _ByRasterio:
    """A TIFF by way of GDAL."""

    def __init__(self, path: Path, dataset: Any, normalization: Normalization) -> None:
        self._path, self._dataset, self._normalization = path, dataset, normalization
        self.shape = (int(dataset.height), int(dataset.width))
        placed = not dataset.transform.is_identity
        self.place = Place(
            crs=dataset.crs,
            transform=dataset.transform if placed else None,
            gcps=dataset.gcps if dataset.gcps[0] else None,
        )

    def read(self, row: int, column: int, height: int, width: int) -> Shown:
        from rasterio.windows import Window

        window = Window(column, row, width, height)
        try:
            picture = geotiff.window_picture(self._dataset, window)
            seen = np.asarray(self._dataset.dataset_mask(window=window)) > 0
        except Exception as error:  # GDAL raises many kinds on damaged files
            said = geotiff.line(error.__cause__ or error)
            raise UserError(Problem(f"damaged GeoTIFF: {said}", file=str(self._path))) from None
        found = of_picture(picture, self._normalization, str(self._path))
        return Shown(found.pixels, seen if found.valid is None else seen & found.valid)


class _ByTifffile:
    """A TIFF's strips or tiles, one at a time."""

    def __init__(self, path: Path, page: TiffPage, place: Place, normalization: Normalization) -> None:
        self._path, self._page, self.place, self._normalization = path, page, place, normalization
        self.shape = (int(page.imagelength), int(page.imagewidth))
        self._kept: dict[int, Any] = {}

    def read(self, row: int, column: int, height: int, width: int) -> Shown:
        page = self._page
        samples = int(page.samplesperpixel)
        values: NDArray[Any] = np.zeros((height, width, samples), page.dtype)
        try:
            for index in self._segments(row, column, height, width):
                self._copy(index, values, row, column)
        except Exception as error:  # readers raise many kinds on damaged files, and where a codec is missing
            said = " ".join(str(error).split())[:160]
            hint = "pip install 'lossweep[geo]' reads more kinds of compression" if "codec" in said else None
            raise UserError(Problem(f"can't be read: {said}", file=str(self._path), hint=hint)) from None
        return of_picture(page_picture(page, values), self._normalization, str(self._path))

    def _segments(self, row: int, column: int, height: int, width: int) -> Iterator[int]:
        """The indices of the strips or tiles that lie in a window, those of all planes."""
        page = self._page
        down = int(page.tilelength if page.is_tiled else page.rowsperstrip)
        across = int(page.tilewidth if page.is_tiled else page.imagewidth)
        in_row, in_column = -(-self.shape[1] // across), -(-self.shape[0] // down)
        planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
        for plane in range(planes):
            for i in range(row // down, (row + height - 1) // down + 1):
                for j in range(column // across, (column + width - 1) // across + 1):
                    yield (plane * in_column + i) * in_row + j

    def _copy(self, index: int, values: NDArray[Any], row: int, column: int) -> None:
        decoded, position, shape = self._segment(index)
        if decoded is None:  # sparse: nothing is stored
            return
        plane, _, top, left, first = position
        part = three(np.asarray(decoded)[0, : shape[1], : shape[2]])
        rows = slice(max(row, top), min(row + values.shape[0], top + part.shape[0]))
        columns = slice(max(column, left), min(column + values.shape[1], left + part.shape[1]))
        bands = slice(plane, plane + 1) if int(self._page.planarconfig) == 2 else slice(first, None)
        if rows.start < rows.stop and columns.start < columns.stop:
            values[
                rows.start - row : rows.stop - row, columns.start - column : columns.stop - column, bands
            ] = part[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def _segment(self, index: int) -> Any:
        """Decode a strip or tile; neighbours ask for the same ones, so that the last few are kept."""
        if index not in self._kept:
            page = self._page
            handle = page.parent.filehandle
            handle.seek(page.dataoffsets[index])
            data = handle.read(page.databytecounts[index]) if page.databytecounts[index] else None
            tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
            found = page.decode(data, index, **tables)
            size = 0 if found[0] is None else found[0].nbytes
            while self._kept and size + sum(each[0].nbytes for each in self._kept.values()) > _CACHE:
                del self._kept[next(iter(self._kept))]
            if found[0] is None:
                return found
            self._kept[index] = found
        return self._kept[index]


def _georeference(page: TiffPage) -> Iterator[tuple[Any, ...]]:
    for code in _GEOREFERENCE:
        if (tag := page.tags.get(code)) is not None:
            yield code, int(tag.dtype), int(tag.count), tag.value, True
