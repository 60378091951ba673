from __future__ import annotations

import json
import sqlite3
import struct
import sys
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.sources.polygons import read_labels
from lossweep.trainers.data.sources.raster import Raster, blocks, windows
from lossweep.trainers.data.spec import Blocks, Fractions, RasterSource

rasterio = pytest.importorskip("rasterio")
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


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    root = tmp_path / "geo"
    for index, split in enumerate(("train", "val", "test")):
        mask = np.zeros((1, 90, 120), np.uint8)
        mask[0, 10:30, 40:70] = 1
        write_tiff(root / split / "images/a.tif", scene(seed=index), left=LEFT + index * 10_000)
        write_tiff(root / split / "masks/a.tif", mask, left=LEFT + index * 10_000)
    return root


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


def test_windows_put_together_are_the_scene(labelled: Path, tmp_path: Path) -> None:
    data = load_data(spec_of(labelled), tmp_path / "cache")
    assert data.channels == 4
    assert len(data.train) == 2 * 3
    assert len(data.val) == 2 * 2
    expected = np.zeros((90, 120), np.uint8)
    expected[10:30, 40:70] = 1
    np.testing.assert_array_equal(burned(data), expected)
    assert sum(h * w for h, w in data.val.sizes) == 90 * 120
    assert check_data(spec_of(labelled), tmp_path / "cache").splits[1].objects[1].count >= 1
    assert check_quick(spec_of(labelled)).counts["train"] == 6


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


def test_nodata_is_ignored(labelled: Path, tmp_path: Path) -> None:
    pixels = scene().astype(np.float32)
    pixels[:, :20] = np.nan
    write_tiff(labelled / "train/images/a.tif", pixels, nodata=np.nan)
    for split in ("val", "test"):
        whole = scene().astype(np.float32)
        whole[:, :, :5] = -9999
        write_tiff(
            labelled / split / "images/a.tif",
            whole,
            left=LEFT + 10_000 * (1 + (split == "test")),
            nodata=-9999,
        )
    mask = np.zeros((1, 90, 120), np.uint8)
    mask[0, 30:40] = 1
    mask[0, 80:] = 99
    write_tiff(labelled / "train/masks/a.tif", mask, nodata=99)
    data = load_data(spec_of(labelled), tmp_path / "cache")
    expected = mask[0].copy()
    expected[:20], expected[80:] = 255, 255
    np.testing.assert_array_equal(burned(data), expected)
    assert all(batch.images.isfinite().all() for batch in data.train.training_batches(0, 0, 2, "cpu"))


def test_a_mask_whose_nodata_is_background_keeps_its_background(labelled: Path, tmp_path: Path) -> None:
    mask = np.zeros((1, 90, 120), np.uint8)
    mask[0, 10:30, 40:70] = 1
    write_tiff(labelled / "train/masks/a.tif", mask, nodata=0)
    np.testing.assert_array_equal(burned(load_data(spec_of(labelled), tmp_path / "cache")), mask[0])


def test_blocks_divide_a_scene_with_a_gap(tmp_path: Path) -> None:
    root = tmp_path / "geo"
    mask = (np.indices((600, 700)).sum(axis=0) % 7 == 0).astype(np.uint8)[None]
    write_tiff(root / "images/a.tif", scene(600, 700, 1))
    write_tiff(root / "masks/a.tif", mask)
    fractions = Fractions(train=0.5, val=0.25, test=0.25)
    spec = spec_of(root, split=fractions, blocks=Blocks(size=128, gap=20))
    listing = Raster(spec).listing()
    assert not listing.problems
    assert all(listing.counts.values())
    for one, other in combinations(listing.items, 2):
        if one.split != other.split:
            assert _distance(one.place.box, other.place.box) >= 20
    data = load_data(spec, tmp_path / "cache")
    assert 0.1 < data.prior.frequencies[1] < 0.2


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Pixels between two boxes, the larger of rows and columns."""
    gaps = [max(one[i] - other[i] - other[i + 2], other[i] - one[i] - one[i + 2]) for i in (0, 1)]
    return max(gaps)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(32, 128),
    overlap=st.integers(0, 31),
)
def test_windows_cover_everything_and_overlap_only_when_told(
    height: int, width: int, side: int, overlap: int
) -> None:
    seen = np.zeros((height, width), int)
    for row, column, rows, columns in windows((0, 0, height, width), side, overlap):
        assert 0 < rows <= side
        assert 0 < columns <= side
        seen[row : row + rows, column : column + columns] += 1
    assert seen.min() >= 1
    if overlap == 0:
        assert seen.max() == 1


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 900), width=st.integers(1, 900), size=st.integers(64, 256), gap=st.integers(0, 32)
)
def test_blocks_keep_their_distance(height: int, width: int, size: int, gap: int) -> None:
    found = list(blocks(height, width, size, gap))
    assert all(box[2] > 0 and box[3] > 0 for box in found)
    assert all(_distance(one, other) >= gap for one, other in combinations(found, 2))


def test_scenes_of_two_splits_that_overlap_are_noted(labelled: Path) -> None:
    write_tiff(labelled / "val/images/a.tif", scene(), left=LEFT + 100)
    write_tiff(labelled / "val/masks/a.tif", np.ones((1, 90, 120), np.uint8), left=LEFT + 100)
    (note,) = Raster(spec_of(labelled)).listing().notes
    assert "train/images/a.tif (train) and val/images/a.tif (val) show the same ground" in note


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


def test_labels_beside_their_scene_are_noted(labelled: Path, tmp_path: Path) -> None:
    (labelled / "val/masks/a.tif").unlink()
    write_geojson(labelled / "val/masks/a.geojson", [(box(5000, 5000, 9, 9), 1)], "EPSG:32633")
    notes = "\n".join(check_data(spec_of(labelled), tmp_path / "cache").notes)
    assert "val/images/a.tif[0,0] and 3 more: no polygon of its labels lies in the scene" in notes


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


@settings(max_examples=30, deadline=None)
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
    with suppress(ValueError):
        read_labels(path, "kind")


@settings(max_examples=60, deadline=None)
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
    content = bytearray((root / "train" / name).read_bytes())
    for place, value in places:
        content[place % (min(400, len(content)) if head else len(content))] = value
    (root / "train" / name).write_bytes(content[: round(len(content) * (0.5 + kept))])
    for kind in ("images", "masks"):
        (root / "val" / kind).mkdir(parents=True)
    source = Raster(spec_of(root, class_field="kind"))
    listing = source.listing()
    problems = [problem for problem in listing.problems if "no image is left" not in problem.message]
    for item in listing.items[:4]:
        try:
            source.decode(item)
        except UserError as error:
            problems.extend(error.problems)
    assert all(str(root / "train") in str(problem) or "a.tif[" in str(problem) for problem in problems)


def test_without_rasterio_the_extra_is_named(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UserError, match=r"pip install 'lossweep\[geo\]'"):
        check_quick(spec_of(labelled))
