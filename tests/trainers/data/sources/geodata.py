"""Small scenes with a place on Earth, and labels for them, as files."""

from __future__ import annotations

import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.data.spec import RasterSource

LEFT, TOP, PIXEL = 500_000.0, 5_200_000.0, 2.0


def write_tiff(path: Path, pixels: np.ndarray, left: float = LEFT, **options: Any) -> None:
    """Write (bands, height, width) with 2 m pixels in UTM zone 33 N."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = rasterio.transform.from_origin(left, TOP, PIXEL, PIXEL)
    bands, height, width = pixels.shape
    options = {"crs": "EPSG:32633", "dtype": pixels.dtype, "transform": transform} | options
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=bands, **options
    ) as dataset:
        dataset.write(pixels)


def box(row: int, column: int, height: int, width: int) -> list[list[float]]:
    """The ring of a box of pixels in UTM."""
    left, top = LEFT + column * PIXEL, TOP - row * PIXEL
    right, bottom = left + width * PIXEL, top - height * PIXEL
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def write_geojson(path: Path, rings: list[tuple[list[list[float]], Any]], crs: str | None) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"kind": value},
        }
        for ring, value in rings
    ]
    data: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if crs:
        data["crs"] = {"type": "name", "properties": {"name": crs}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_geopackage(path: Path, rings: list[tuple[list[list[float]], Any]], multi: bool, z: bool) -> None:
    """Write the tables that are read, with the geometry header and well-known binary of the standard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE gpkg_spatial_ref_sys (srs_id, organization, organization_coordsys_id, definition)"
        )
        database.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (7, 'EPSG', 32633, '')")
        database.execute("CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id)")
        database.execute("INSERT INTO gpkg_geometry_columns VALUES ('the \"labels\"', 'geom', 7)")
        database.execute('CREATE TABLE "the ""labels""" (geom BLOB, kind)')
        for ring, value in rings:
            flat = [number for point in ring for number in (*point, *([9.0] if z else []))]
            polygon = struct.pack(f"<BIII{len(flat)}d", 1, 1003 if z else 3, 1, len(ring), *flat)
            body = struct.pack("<BII", 1, 1006 if z else 6, 1) + polygon if multi else polygon
            header = b"GP" + struct.pack("<BBi4d", 0, 0b11, 7, 0, 1, 0, 1)
            database.execute('INSERT INTO "the ""labels""" VALUES (?, ?)', (header + body, value))
    database.close()


def scene(height: int = 90, width: int = 120, bands: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 4000, (bands, height, width), np.uint16)


def spec_of(root: Path, **changes: Any) -> RasterSource:
    return RasterSource(source="raster", root=str(root), tile=32, **{"window": 64, "overlap": 16} | changes)


def burned(data: SegmentationData) -> np.ndarray:
    """The training masks put together again; 254 where no window lies."""
    whole = np.full((90, 120), 254, np.uint8)
    for batch in data.train.evaluation_batches(1, "cpu"):
        (index,) = batch.indices
        height, width = data.train.sizes[index]
        row, column = map(int, data.train.names[index].split("[")[1][:-1].split(","))
        whole[row : row + height, column : column + width] = batch.masks[0, :height, :width].numpy()
    return whole
