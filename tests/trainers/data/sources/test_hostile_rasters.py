"""Damaged scenes and labels: one clear line that names each, and no traceback."""

from __future__ import annotations

import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geodata import (
    box,
    scene,
    spec_of,
    write_geojson,
    write_geopackage,
    write_tiff,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.sources.raster import Raster


def _instead(root: Path, name: str, content: bytes) -> None:
    (root / "train/masks/a.tif").unlink()
    (root / "train/masks" / name).write_bytes(content)


def _without_its_name(path: Path) -> None:
    """Spoil a GeoTIFF's pixel size and the text of its coordinate system; GDAL raises when asked for it."""
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<HH", 33550, 12)) + 2] = 92  # the tag's type
    content[content.index(struct.pack("<HH", 34737, 2)) + 7] = 255  # the tag's count
    path.write_bytes(content)


def _polygon(root: Path, coordinates: Any) -> None:
    """Labels whose first polygon has these coordinates; some of them would make GDAL end the process."""
    shapes = [coordinates, [box(10, 40, 20, 30)]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": shape}, "properties": {}}
        for shape in shapes
    ]
    _instead(root, "a.geojson", json.dumps({"type": "FeatureCollection", "features": features}).encode())


def _geopackage(root: Path, change: str) -> None:
    (root / "train/masks/a.tif").unlink()
    write_geopackage(root / "train/masks/a.gpkg", [(box(0, 0, 9, 9), 1)], multi=False, z=False)
    with sqlite3.connect(root / "train/masks/a.gpkg") as database:
        database.execute(change)
    database.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "train/images/a.tif").write_bytes(b"II*\0junk"), "no readable GeoTIFF"),
        (
            lambda root: (root / "train/images/a.tif").write_bytes(
                (root / "val/images/a.tif").read_bytes()[:9000]
            ),
            "GeoTIFF",
        ),
        (lambda root: _without_its_name(root / "train/images/a.tif"), "GTCitation"),
        (lambda root: write_tiff(root / "train/masks/a.tif", np.full((1, 90, 120), 7, np.uint8)), "7 in"),
        (
            lambda root: write_tiff(root / "train/masks/a.tif", np.zeros((1, 9, 9), np.uint8)),
            "different grids",
        ),
        (
            lambda root: write_tiff(root / "train/masks/a.tif", np.zeros((1, 90, 120), np.uint8), left=0.0),
            "different grids",
        ),
        (
            lambda root: write_tiff(root / "train/images/a.tif", np.full((1, 90, 120), np.nan, np.float32)),
            "NaN",
        ),
        (lambda root: _instead(root, "a.geojson", b"{"), "damaged GeoJSON"),
        (lambda root: _instead(root, "a.geojson", b'{"type": "Feature"}'), "FeatureCollection"),
        (lambda root: _instead(root, "a.gpkg", b"SQLite format 3\0 but not really"), "damaged GeoPackage"),
        (lambda root: _instead(root, "a.gpkg", b""), "damaged GeoPackage"),
        (lambda root: _instead(root, "a.geojson", b"[" * 200_000), "damaged GeoJSON"),
        (lambda root: _polygon(root, "text"), "feature 0 has coordinates that are no pairs of numbers"),
        (lambda root: _polygon(root, None), "feature 0 has coordinates that are no pairs of numbers"),
        (lambda root: _polygon(root, [[[0, 0], [1]] * 3]), "no pairs of numbers"),
        (lambda root: _polygon(root, [box(0, 0, 9, 9)[:2]]), "a ring of 2 points"),
        (lambda root: _polygon(root, [[[float("nan"), 0.0]] * 5]), "not finite"),
        (lambda root: _geopackage(root, "DELETE FROM gpkg_spatial_ref_sys"), "damaged GeoPackage"),
        (lambda root: _geopackage(root, 'UPDATE "the ""labels""" SET geom = 5'), "damaged GeoPackage"),
    ],
)
def test_hostile_files_are_named_in_one_line_each(
    labelled: Path, tmp_path: Path, spoil: Any, words: str
) -> None:
    spoil(labelled)
    with pytest.raises(UserError, match=words) as caught:
        load_data(spec_of(labelled), tmp_path / "cache")
    assert all("train/" in str(problem) and "\n" not in str(problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: _polygon(root, "text"),
        lambda root: write_tiff(root / "train/masks/a.tif", np.zeros((3, 90, 120), np.uint8)),
    ],
)
def test_labels_that_fail_in_every_window_are_told_once(labelled: Path, tmp_path: Path, spoil: Any) -> None:
    spoil(labelled)
    (problem,) = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert str(labelled / "train/masks/a.") in str(problem)


@settings(max_examples=60)
@example(name="images/a.tif", places=[], head=True, kept=1.0)
@given(
    name=st.sampled_from(["images/a.tif", "masks/a.geojson"]),
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    head=st.booleans(),
    kept=st.floats(0.0, 1.0),
)
def test_a_damaged_scene_or_label_file_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    places: list[tuple[int, int]],
    head: bool,
    kept: float,
) -> None:
    root = tmp_path_factory.mktemp("geo")
    write_tiff(root / "train/images/a.tif", scene(40, 40, 2), compress="deflate")
    write_geojson(root / "train/masks/a.geojson", [(box(0, 0, 9, 9), 1)], "EPSG:32633")
    intact = (root / "train" / name).read_bytes()
    content = bytearray(intact)
    for place, value in places:
        content[place % (min(400, len(content)) if head else len(content))] = value
    written = bytes(content[: round(len(content) * (0.5 + kept))])
    (root / "train" / name).write_bytes(written)
    for kind in ("images", "masks"):
        (root / "val" / kind).mkdir(parents=True)
    source = Raster(spec_of(root, class_field="kind"))
    listing = source.listing()
    problems = [problem for problem in listing.problems if "no image is left" not in problem.message]
    for item in listing.items[:4]:
        try:
            decoded = source.decode(item)
        except UserError as error:
            problems.extend(error.problems)
            continue
        assert decoded.image.shape[:2] == decoded.mask.shape == item.place.box[2:]
        assert set(np.unique(decoded.mask)) <= {0, 1, 255}
    if written == intact:
        assert not problems
        np.testing.assert_array_equal(decoded.image, np.moveaxis(scene(40, 40, 2), 0, -1))
        assert decoded.mask.sum() == 81
    assert all(str(root / "train") in str(problem) or "a.tif[" in str(problem) for problem in problems)
