"""Labels drawn as polygons are burned where they lie, with the class that they name."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from geodata import (
    box,
    burned,
    rasterio,
    spec_of,
    write_geojson,
    write_geopackage,
    write_tiff,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.sources.polygons import read_labels


@pytest.mark.parametrize("kind", ["utm", "degrees", "geopackage", "multi", "z"])
def test_vector_labels_are_burned_where_they_lie(labelled: Path, tmp_path: Path, kind: str) -> None:
    rings = [(box(10, 40, 20, 30), "car"), (box(50, 5, 8, 8), 2), (box(60, 60, 4, 4), "ignore")]
    for split, left in (("train", 0), ("val", 10_000), ("test", 20_000)):
        (labelled / split / "masks/a.tif").unlink()
        moved = [([[x + left, y] for x, y in ring], value) for ring, value in rings]
        path = labelled / split / "masks/a.geojson"
        if kind == "utm":
            write_geojson(path, moved, "urn:ogc:def:crs:EPSG::32633")
        elif kind == "degrees":
            from rasterio.warp import transform

            turned = []
            for ring, value in moved:
                longitudes, latitudes = transform("EPSG:32633", "EPSG:4326", *zip(*ring, strict=True))
                turned.append((list(map(list, zip(longitudes, latitudes, strict=True))), value))
            write_geojson(path, turned, None)
        else:
            write_geopackage(path.with_suffix(".gpkg"), moved, multi=kind == "multi", z=kind == "z")
    spec = spec_of(labelled, classes=("ground", "car", "boat"), class_field="kind")
    expected = np.zeros((90, 120), np.uint8)
    expected[10:30, 40:70], expected[50:58, 5:13], expected[60:64, 60:64] = 1, 2, 255
    found = burned(load_data(spec, tmp_path / "cache"))
    assert (found != expected).mean() <= (0.0 if kind != "degrees" else 1e-3)


def test_classes_may_be_real_numbers_and_scenes_without_a_place(labelled: Path, tmp_path: Path) -> None:
    with rasterio.open(labelled / "train/images/a.tif") as dataset:
        pixels = dataset.read()
    write_tiff(labelled / "train/images/a.tif", pixels, crs=None, transform=rasterio.Affine.identity())
    (labelled / "train/masks/a.tif").unlink()
    ring = [[40, 10], [70, 10], [70, 30], [40, 30], [40, 10]]
    write_geojson(labelled / "train/masks/a.geojson", [(ring, 1.0)], None)
    expected = np.zeros((90, 120), np.uint8)
    expected[10:30, 40:70] = 1
    data = load_data(spec_of(labelled, class_field="kind"), tmp_path / "cache")
    np.testing.assert_array_equal(burned(data), expected)


def test_unknown_label_classes_are_named(labelled: Path, tmp_path: Path) -> None:
    (labelled / "train/masks/a.tif").unlink()
    write_geojson(labelled / "train/masks/a.geojson", [(box(0, 0, 9, 9), "boat")], "EPSG:32633")
    with pytest.raises(UserError, match="label whose kind is no class; found 'boat'"):
        load_data(spec_of(labelled, class_field="kind"), tmp_path / "cache")
    with pytest.raises(UserError, match="no property 'sort'"):
        load_data(spec_of(labelled, class_field="sort"), tmp_path / "cache")


def test_labels_beside_their_scene_are_noted(labelled: Path, tmp_path: Path) -> None:
    (labelled / "val/masks/a.tif").unlink()
    write_geojson(labelled / "val/masks/a.geojson", [(box(5000, 5000, 9, 9), 1)], "EPSG:32633")
    notes = "\n".join(check_data(spec_of(labelled), tmp_path / "cache").notes)
    assert "val/images/a.tif[0,0] and 3 more: no polygon of its labels lies in the scene" in notes


@settings(max_examples=30)
@given(places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_a_damaged_geometry_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("gpkg") / "a.gpkg"
    write_geopackage(path, [(box(0, 0, 9, 9), 1)], multi=True, z=False)
    with sqlite3.connect(path) as database:
        (blob,) = database.execute('SELECT geom FROM "the ""labels"""').fetchone()
        damaged = bytearray(blob)
        for place, value in places:
            damaged[place % len(damaged)] = value
        database.execute('UPDATE "the ""labels""" SET geom = ?', (bytes(damaged),))
    database.close()
    try:
        labels = read_labels(path, "kind")
    except ValueError:
        assert damaged != blob
        return
    assert labels.crs == "EPSG:32633"
    if damaged == blob:
        ((shape, value),) = labels.shapes
        assert (shape["coordinates"], value) == ([[tuple(point) for point in box(0, 0, 9, 9)]], 1)
    rings = [ring for shape, _ in labels.shapes for ring in shape["coordinates"]]
    assert all(len(ring) >= 4 and np.isfinite(ring).all() for ring in rings)
