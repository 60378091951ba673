"""Reads polygons with their classes from GeoJSON and GeoPackage, without a vector library.

A GeoPackage is an SQLite database whose geometries are well-known binary behind a short header (OGC
12-128r19, 2.1.3).
"""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".gpkg", ".geojson", ".json")
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_POLYGON, _MULTIPOLYGON, _COLLECTION = 3, 6, 7


@dataclass(frozen=True, slots=True)
class Labels:
    """The polygons of one file.

    Attributes:
        crs: the coordinate system, as rasterio's ``CRS.from_user_input`` understands it.
        shapes: (GeoJSON geometry, value of the class field or None).
    """

    crs: str
    shapes: tuple[tuple[dict[str, Any], Any], ...]


def read_labels(path: Path, class_field: str | None, layer: str | None = None) -> Labels:
    """Read a label file.

    Raises:
        ValueError: it is damaged, holds something other than polygons, or lacks the field or layer.
        OSError: it can't be read.
    """
    path.open("rb").close()  # SQLite's own message for a missing file doesn't say so
    if path.suffix.lower() == ".gpkg":
        try:
            return _geopackage(path, class_field, layer)
        except (sqlite3.Error, struct.error, IndexError, RecursionError, TypeError) as error:
            raise ValueError(f"damaged GeoPackage: {error}") from None
    try:
        return _geojson(json.loads(path.read_text(encoding="utf-8")), class_field)
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ValueError(f"damaged GeoJSON: {error}") from None


def _geojson(data: dict[str, Any], class_field: str | None) -> Labels:
    if data["type"] != "FeatureCollection":
        raise ValueError(f"a FeatureCollection is needed, but got {data['type']!r}")
    crs = (data.get("crs") or {}).get("properties", {}).get("name", "OGC:CRS84")
    shapes = []
    for number, feature in enumerate(data["features"]):
        geometry = feature["geometry"]
        if geometry is None:
            continue
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise ValueError(f"feature {number} is a {geometry['type']}, but only polygons can be labels")
        properties = feature.get("properties") or {}
        if class_field is not None and class_field not in properties:
            raise ValueError(f"feature {number} has no property {class_field!r} ({', '.join(properties)})")
        value = None if class_field is None else properties[class_field]
        coordinates = geometry["coordinates"]
        polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
        shapes += [(shape, value) for shape in _polygons(polygons, f"feature {number}")]
    return Labels(crs, tuple(shapes))


def _polygons(polygons: Any, where: str) -> Iterator[dict[str, Any]]:
    """The polygons of one feature, empty ones left out.

    All is checked here: GDAL drops a short ring with a warning, and ends the process on coordinates that are
    no numbers.
    """
    for rings in polygons:
        try:
            plain = [[(float(point[0]), float(point[1])) for point in ring] for ring in rings]
        except (TypeError, ValueError, LookupError, OverflowError):
            raise ValueError(f"{where} has coordinates that are no pairs of numbers") from None
        for ring in plain:
            if len(ring) < 4:
                raise ValueError(f"{where} has a ring of {len(ring)} points, but a polygon's has at least 4")
            if not all(math.isfinite(number) for point in ring for number in point):
                raise ValueError(f"{where} has coordinates that are not finite")
        if plain:
            yield {"type": "Polygon", "coordinates": plain}


def _geopackage(path: Path, class_field: str | None, layer: str | None) -> Labels:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        layers = [row[0] for row in database.execute("SELECT table_name FROM gpkg_geometry_columns")]
        if layer is None and len(layers) != 1:
            raise ValueError(f"it has {len(layers)} layers ({', '.join(layers)}); say which: `layer: NAME`")
        if layer is not None and layer not in layers:
            raise ValueError(f"it has no layer {layer!r}, only {', '.join(layers)}")
        table = layer or layers[0]
        column, system = database.execute(
            "SELECT column_name, srs_id FROM gpkg_geometry_columns WHERE table_name = ?", (table,)
        ).fetchone()
        organization, number, definition = database.execute(
            "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys"
            " WHERE srs_id = ?",
            (system,),
        ).fetchone()
        fields = [row[1] for row in database.execute(f"PRAGMA table_info({_quoted(table)})")]
        if class_field is not None and class_field not in fields:
            raise ValueError(f"layer {table} has no field {class_field!r} ({', '.join(fields)})")
        value = "NULL" if class_field is None else _quoted(class_field)
        rows = database.execute(f"SELECT {_quoted(column)}, {value} FROM {_quoted(table)}")
        shapes = tuple(
            (shape, value)
            for number, (blob, value) in enumerate(rows)
            if blob
            for shape in _polygons((part["coordinates"] for part in _geometry(blob)), f"row {number}")
        )
    known = str(organization).upper() == "EPSG"
    return Labels(f"EPSG:{number}" if known else str(definition), shapes)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _geometry(blob: bytes) -> Iterator[dict[str, Any]]:
    """The polygons of a GeoPackage geometry: header, envelope, well-known binary."""
    if blob[:2] != b"GP":
        raise ValueError("damaged GeoPackage: a geometry lacks its header")
    flags = blob[3]
    envelope = (flags >> 1) & 0b111
    if envelope >= len(_ENVELOPE_BYTES):
        raise ValueError("damaged GeoPackage: a geometry's envelope is of no known kind")
    if not flags & 0b10000:  # not empty
        shapes, _ = _well_known_binary(blob, 8 + _ENVELOPE_BYTES[envelope])
        yield from shapes


def _well_known_binary(blob: bytes, at: int) -> tuple[list[dict[str, Any]], int]:
    """Return the polygons that start at byte ``at``, and where the next geometry starts."""
    order = "<" if blob[at] else ">"
    (code,) = struct.unpack_from(f"{order}I", blob, at + 1)
    extra = bool(code & 0x80000000) + bool(code & 0x40000000)  # Z and M in the extended flavor
    plain = code & 0x0FFFFFFF
    kind, extra = plain % 1000, extra + (0, 1, 1, 2)[plain // 1000 % 4]  # Z and M in the ISO flavor
    (count,) = struct.unpack_from(f"{order}I", blob, at + 5)
    at += 9
    if kind == _POLYGON:
        rings = []
        for _ in range(count):
            (points,) = struct.unpack_from(f"{order}I", blob, at)
            width = 2 + extra
            numbers = struct.unpack_from(f"{order}{points * width}d", blob, at + 4)
            rings.append([[numbers[i], numbers[i + 1]] for i in range(0, len(numbers), width)])
            at += 4 + 8 * len(numbers)
        return [{"type": "Polygon", "coordinates": rings}] if rings else [], at
    if kind in (_MULTIPOLYGON, _COLLECTION):
        shapes: list[dict[str, Any]] = []
        for _ in range(count):
            parts, at = _well_known_binary(blob, at)
            shapes += parts
        return shapes, at
    raise ValueError(f"it holds a geometry of kind {kind}, but only polygons can be labels")
