"""Images to predict on: smooth ones, so that all classes occur, and scenes that lie somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

UTM = "EPSG:32633"
ORIGIN = from_origin(500_000.0, 4_650_000.0, 0.5, 0.5)


def smooth(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A cloudy image (height, width, bands)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, bands))
    clouds = gaussian_filter(noise, (4, 4, 0))
    low, high = clouds.min(), clouds.max()
    return np.asarray((clouds - low) / (high - low) * 250 + 1, np.uint8)


def scene(path: Path, image: NDArray[Any], **profile: Any) -> Path:
    """Write a GeoTIFF in UTM, of pixels of half a metre."""
    height, width, bands = image.shape
    given: dict[str, Any] = {"crs": UTM, "transform": ORIGIN, "dtype": image.dtype, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=bands, **given) as file:
        file.write(np.moveaxis(image, -1, 0))
    return path
