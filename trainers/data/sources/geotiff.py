"""Windows of a GeoTIFF by way of rasterio (extra ``geo``), which is imported when a file is opened."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.trainers.data.sources.picture import Picture


def opened(path: Path) -> Any:
    """Open a GeoTIFF.

    Returns:
        Of rasterio, to be closed.

    Raises:
        UserError: it is missing, damaged, or no TIFF.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    try:
        with warnings.catch_warnings():  # that a file lies nowhere is said where it matters
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver="GTiff")
        # GDAL reads these when they are asked for, and raises then what is wrong with them.
        _ = dataset.crs, dataset.bounds, dataset.colorinterp, dataset.nodata
        return dataset
    except Exception as error:  # GDAL raises many kinds on damaged files
        raise UserError(Problem(f"no readable GeoTIFF: {line(error)}", file=str(path))) from None


def band_meanings(dataset: Any) -> tuple[list[int], list[int]]:
    """Return the numbers of the bands that show something, and of those that are an alpha channel."""
    from rasterio.enums import ColorInterp

    meanings = list(zip(dataset.indexes, dataset.colorinterp, strict=True))
    alphas = [number for number, meaning in meanings if meaning == ColorInterp.alpha]
    return [number for number, _ in meanings if number not in alphas], alphas


def window_picture(dataset: Any, window: Any) -> Picture:
    """Return a window's bands as stored, and what the file says of them.

    Raises:
        Exception: of many kinds, when the file is damaged.
    """
    from rasterio.enums import Compression

    bands, alphas = band_meanings(dataset)
    values = np.moveaxis(dataset.read(bands, window=window), 0, -1)
    alpha = dataset.read(alphas[0], window=window) > 0 if alphas else None
    single = len(bands) == 1
    bits = int(dataset.tags(bands[0], ns="IMAGE_STRUCTURE").get("NBITS", 8)) if bands else 8
    return Picture(
        values,
        alpha=alpha,
        palette=_palette(dataset) if single else None,
        step=255 // (2**bits - 1) if single and bits < 8 else 1,
        nodata=dataset.nodata,
        lossy=dataset.compression == Compression.jpeg,
    )


def _palette(dataset: Any) -> NDArray[np.uint8] | None:
    """The colors (colors, 3) of a one-band file with a color table."""
    if dataset.dtypes[0] not in ("uint8", "uint16"):
        return None
    try:
        table = dataset.colormap(1)
    except ValueError:  # it has none
        return None
    return np.array([table.get(index, (0, 0, 0))[:3] for index in range(max(table) + 1)], np.uint8)


def line(error: BaseException) -> str:
    """Return what an error of GDAL or PROJ says, on one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
