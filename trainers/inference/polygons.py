"""The objects of a mask as polygons, in a GeoJSON file (extra ``geo``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, Literal

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import Problem
from lossweep.trainers.data.sources import geotiff
from lossweep.trainers.inference.scenes import Place, has_rasterio
from lossweep.trainers.inference.writing import replaced

Coordinates = Literal["wgs84", "scene"]
"""What polygons are in: longitude and latitude, as RFC 7946 has it, or the scene's own coordinates."""

_AT_ONCE: Final = 2000
"""Polygons whose coordinates are transformed together."""

Ring = Sequence[tuple[float, float]]


def polygons_problem(file: str, place: Place) -> Problem | None:
    """What keeps an image's objects from being written as polygons; None: nothing."""
    if not has_rasterio():
        hint = "pip install 'lossweep[geo]'"
        return Problem("polygons need rasterio, which is not installed", key="--write", hint=hint)
    if _crs(place) is None:
        return Problem(
            "the image says no coordinate system, which polygons need",
            file=file,
            hint="give it one, such as with `rio edit-info --crs`, or write masks",
        )
    return None


def write_polygons(
    path: Path, mask: Path, classes: Sequence[str], place: Place, coordinates: Coordinates = "wgs84"
) -> int:
    """Write each object of a mask as a polygon along its pixels' edges.

    Pixels are joined by their sides, so that each polygon is valid. The mask is read row by row.

    Args:
        path: of the GeoJSON file.
        mask: a TIFF of class indices that does not say where it lies: GDAL would place the polygons itself.
        classes: their names.
        place: where it lies, with a coordinate system.
        coordinates: of the polygons.

    Returns:
        How many there are.
    """
    from rasterio.crs import CRS

    crs = _crs(place)
    wgs84 = CRS.from_user_input("OGC:CRS84")
    count = 0
    with replaced(path) as building, building.open("w", encoding="utf-8") as file:
        head: dict[str, Any] = {"type": "FeatureCollection"}
        if coordinates == "scene":  # as GDAL and QGIS read it; RFC 7946 knows WGS84 alone
            code = crs.to_epsg()
            name = f"urn:ogc:def:crs:EPSG::{code}" if code else crs.to_wkt()
            head["crs"] = {"type": "name", "properties": {"name": name}}
        file.write(json.dumps(head)[:-1] + ', "features": [')
        with geotiff.opened(mask) as dataset:
            objects = _objects(dataset)
            while few := list(islice(objects, _AT_ONCE)):
                shapes = [_placed(rings, place) for rings, _, _ in few]
                if coordinates == "wgs84":
                    shapes = _transformed(shapes, crs, wgs84)
                for rings, (_, index, pixels) in zip(shapes, few, strict=True):
                    file.write(",\n" if count else "\n")
                    file.write(json.dumps(_feature(rings, classes[index], index, pixels)))
                    count += 1
        file.write("\n]}\n")
    return count


def _objects(dataset: Any) -> Iterator[tuple[list[Ring], int, int]]:
    """Yield the rings of each object in (column, row), its class and its pixels."""
    import rasterio
    from rasterio.features import shapes
    from rasterio.transform import IDENTITY

    for shape, value in shapes(rasterio.band(dataset, 1), connectivity=4, transform=IDENTITY):
        if value in (0, IGNORE_INDEX):
            continue
        rings: list[Ring] = [[(float(x), float(y)) for x, y in ring] for ring in shape["coordinates"]]
        outer, *holes = (abs(_area(ring)) for ring in rings)
        yield rings, int(value), round(outer - sum(holes))


def _area(ring: Ring) -> float:
    """The signed area: positive when counterclockwise with y upwards (the shoelace formula)."""
    return sum(a * d - b * c for (a, b), (c, d) in pairwise(ring)) / 2


def _placed(rings: Iterable[Ring], place: Place) -> list[Ring]:
    transform = place.transform
    if transform is None:
        from rasterio.transform import from_gcps

        transform = from_gcps(place.gcps[0])
    a, b, c, d, e, f = transform[:6]
    return [[(a * x + b * y + c, d * x + e * y + f) for x, y in ring] for ring in rings]


def _transformed(shapes: list[list[Ring]], crs: Any, wgs84: Any) -> list[list[Ring]]:
    from rasterio.warp import transform

    points = [point for rings in shapes for ring in rings for point in ring]
    across, up = transform(crs, wgs84, [x for x, _ in points], [y for _, y in points])
    moved = iter([(round(x, 9), round(y, 9)) for x, y in zip(across, up, strict=True)])
    return [[[next(moved) for _ in ring] for ring in rings] for rings in shapes]


def _feature(rings: Sequence[Ring], name: str, index: int, pixels: int) -> dict[str, Any]:
    """A feature whose outer ring runs counterclockwise, and its holes clockwise (RFC 7946, 3.1.6)."""
    wound = [
        list(ring) if (_area(ring) > 0) == (place == 0) else list(reversed(ring))
        for place, ring in enumerate(rings)
    ]
    return {
        "type": "Feature",
        "properties": {"class": name, "index": index, "pixels": pixels},
        "geometry": {"type": "Polygon", "coordinates": wound},
    }


def _crs(place: Place) -> Any:
    if place.gcps is not None:
        return place.gcps[1]
    return place.crs if place.crs and place.transform is not None else None
