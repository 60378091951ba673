"""Predictions as files: masks with a palette and probabilities, where their image lies on Earth."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffWriter

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.inference.scenes import Place, has_rasterio

Rows = NDArray[Any]
"""Some rows of an image, (bands, rows, width)."""

_COLORS: Final = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""The background is black, the others have the colours of Okabe and Ito, told apart by the colour-blind."""
_NOTHING: Final = (128, 128, 128)
_TILE: Final = 256
_CACHE: Final = 128 * 2**20


def palette(classes: int) -> list[tuple[int, int, int]]:
    """Return 256 colors: of each class, black for what is none, and grey for 255, where nothing is known."""
    golden = 0.618033988749895
    more = (
        tuple(round(255 * part) for part in colorsys.hsv_to_rgb(index * golden % 1.0, 0.65, 0.9))
        for index in range(len(_COLORS), classes)
    )
    found = [*_COLORS[:classes], *((red, green, blue) for red, green, blue in more)]
    return [*found, *[(0, 0, 0)] * (IGNORE_INDEX - len(found)), _NOTHING][:256]


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give the path of a file to be written, which takes the place of ``path`` when it is whole."""
    building = path.with_name(f".{path.name}.writing")
    building.unlink(missing_ok=True)
    yield building
    building.replace(path)


def write_mask(
    path: Path, rows: Iterable[Rows], shape: tuple[int, int], classes: tuple[str, ...], place: Place
) -> None:
    """Write class indices, 255 where nothing is known, as a PNG or a TIFF with a palette.

    Args:
        path: its suffix says which.
        rows: (1, rows, width) uint8, top to bottom.
        shape: height and width.
        classes: their names.
        place: on Earth.
    """
    with replaced(path) as building:
        if path.suffix == ".png":
            picture = Image.fromarray(np.concatenate([part[0] for part in rows]))
            picture.putpalette(list(chain.from_iterable(palette(len(classes)))))
            picture.save(building, format="PNG")
        else:
            _write_tiff(building, rows, (1, *shape), np.dtype(np.uint8), classes[1:], place, len(classes))


def write_probabilities(
    path: Path, rows: Iterable[Rows], shape: tuple[int, int], classes: tuple[str, ...], place: Place
) -> None:
    """Write probabilities as a float32 TIFF: the foreground's, or a band a class; NaN where nothing is known.

    Args:
        path: ends in ``.tif``.
        rows: (bands, rows, width), top to bottom.
        shape: height and width.
        classes: their names.
        place: on Earth.
    """
    shown = classes[1:] if len(classes) == 2 else classes
    with replaced(path) as building:
        _write_tiff(building, rows, (len(shown), *shape), np.dtype(np.float32), shown, place)


def _write_tiff(
    path: Path,
    rows: Iterable[Rows],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    names: tuple[str, ...],
    place: Place,
    colors: int | None = None,
) -> None:
    if has_rasterio():
        _by_rasterio(path, rows, shape, dtype, names, place, colors)
    else:
        _by_tifffile(path, rows, shape, dtype, place, colors)


def _by_rasterio(
    path: Path,
    rows: Iterable[Rows],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    names: tuple[str, ...],
    place: Place,
    colors: int | None,
) -> None:
    import rasterio
    from rasterio.windows import Window

    count, height, width = shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": str(dtype),
        "nodata": IGNORE_INDEX if dtype.kind == "u" else float("nan"),
        "tiled": True,
        "blockxsize": _TILE,
        "blockysize": _TILE,
        "interleave": "band",
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }
    if place.transform is not None:
        profile |= {"crs": place.crs, "transform": place.transform}
    if place.gcps is not None:
        profile |= {"gcps": place.gcps[0], "crs": place.gcps[1]}
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.open(path, "w", **profile) as dataset:
        if colors is not None:
            dataset.write_colormap(1, {index: (*color, 255) for index, color in enumerate(palette(colors))})
            dataset.update_tags(classes=",".join(("background", *names)))
        else:
            dataset.descriptions = names
        top = 0
        for part in rows:
            dataset.write(part, window=Window(0, top, width, part.shape[1]))
            top += part.shape[1]


def _by_tifffile(
    path: Path,
    rows: Iterable[Rows],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    place: Place,
    colors: int | None,
) -> None:
    count, height, width = shape
    table = None
    if colors is not None:
        table = (np.asarray(palette(colors), np.uint16).T * 257).astype(np.uint16)
    nodata = str(IGNORE_INDEX) if dtype.kind == "u" else "nan"
    with TiffWriter(path, bigtiff=count * height * width * dtype.itemsize > 2**31) as writer:
        writer.write(
            _tiles(rows, count, width, dtype),
            shape=(height, width) if count == 1 else (height, width, count),
            dtype=dtype,
            photometric="palette" if table is not None else "minisblack",
            planarconfig=None if count == 1 else "contig",
            colormap=table,
            tile=(_TILE, _TILE),
            compression="zlib",
            metadata=None,
            extratags=[(42113, "s", 0, nodata, True), *place.tags],
        )


def _tiles(rows: Iterable[Rows], count: int, width: int, dtype: np.dtype[Any]) -> Iterator[Rows]:
    """Yield tiles row by row, filled up with 0 at the edges, from whatever rows come."""
    waiting = np.zeros((count, 0, width), dtype)

    def cut(strip: Rows) -> Iterator[Rows]:
        across = -(-width // _TILE) * _TILE
        whole = np.zeros((count, _TILE, across), dtype)
        whole[:, : strip.shape[1], :width] = strip
        for left in range(0, across, _TILE):
            tile = np.moveaxis(whole[:, :, left : left + _TILE], 0, -1)
            yield np.ascontiguousarray(tile[..., 0] if count == 1 else tile)

    for part in rows:
        waiting = np.concatenate([waiting, part.astype(dtype, copy=False)], axis=1)
        while waiting.shape[1] >= _TILE:
            yield from cut(waiting[:, :_TILE])
            waiting = waiting[:, _TILE:]
    if waiting.shape[1]:
        yield from cut(waiting)
