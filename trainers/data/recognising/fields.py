"""The attributes of polygons, and which of them names a class."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_CLASS_WORDS: Final = (
    "class",
    "class_name",
    "classname",
    "label",
    "category",
    "kind",
    "type",
    "name",
    "class_id",
)
"""Attributes that hold a class's name, the likeliest first."""
_MOST_CLASSES: Final = 64


@dataclass(frozen=True, slots=True)
class Fields:
    """The attributes of a file's polygons.

    Attributes:
        values: their distinct values; None of one with more than a class attribute would have.
        layers: of a GeoPackage with several, their names.
    """

    values: Mapping[str, frozenset[Any] | None]
    layers: tuple[str, ...] = ()

    @classmethod
    def joined(cls, files: Sequence[Fields]) -> Fields:
        """Those that all files have."""
        shared = set.intersection(*(set(each.values) for each in files))
        values: dict[str, frozenset[Any] | None] = {}
        for name in files[0].values:
            if name in shared:
                found = [each.values[name] for each in files]
                known = frozenset(value for each in found if each is not None for value in each)
                values[name] = None if None in found or len(known) > _MOST_CLASSES else known
        return cls(values, files[0].layers)

    def classes(self) -> tuple[str | None, tuple[str, ...]]:
        """The attribute that names classes, and the classes; None and nothing where there is none."""
        for word in _CLASS_WORDS:
            for name, values in self.values.items():
                if name.lower() == word and values and all(isinstance(value, str) for value in values):
                    return name, tuple(sorted(value for value in values if value != "background"))
        return None, ()


def fields_of(path: Path) -> Fields | None:
    """Read the attributes of a file of polygons; None when it is none."""
    try:
        return _of_geopackage(path) if path.suffix.lower() == ".gpkg" else _of_geojson(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error, RecursionError):
        return None


def _of_geojson(path: Path) -> Fields | None:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("type") != "FeatureCollection":
        return None
    rows = [feature.get("properties") or {} for feature in data["features"]]
    names = dict.fromkeys(name for row in rows for name in row)
    return Fields({name: _few(row.get(name) for row in rows) for name in names})


def _of_geopackage(path: Path) -> Fields:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        layers = [row[0] for row in database.execute("SELECT table_name FROM gpkg_geometry_columns")]
        geometries = {row[0] for row in database.execute("SELECT column_name FROM gpkg_geometry_columns")}
        table = '"' + layers[0].replace('"', '""') + '"'
        columns = [
            row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] not in geometries
        ]
        values = {}
        for column in columns:
            quoted = '"' + column.replace('"', '""') + '"'
            found = database.execute(f"SELECT DISTINCT {quoted} FROM {table} LIMIT {_MOST_CLASSES + 1}")
            values[column] = _few(row[0] for row in found)
    return Fields(values, tuple(layers) if len(layers) > 1 else ())


def _few(values: Any) -> frozenset[Any] | None:
    found = set[Any]()
    for value in values:
        if isinstance(value, list | dict):
            return None
        found.add(value)
        if len(found) > _MOST_CLASSES:
            return None
    return frozenset(found)
