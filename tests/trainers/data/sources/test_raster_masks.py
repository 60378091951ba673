"""GeoTIFF masks: told once a scene, by their color tables, and on the image's own ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geodata import LEFT, PIXEL, TOP, burned, rasterio, scene, spec_of, write_tiff

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import load_data

COLORS = {0: (0, 0, 0, 255), 1: (200, 0, 0, 255), 2: (0, 0, 200, 255), 7: (9, 9, 9, 255)}


def truth() -> np.ndarray:
    mask = np.zeros((1, 90, 120), np.uint8)
    mask[0, 10:30, 40:70] = 1
    return mask


def colored(path: Path, pixels: np.ndarray, left: float = LEFT, colors: object = COLORS) -> None:
    write_tiff(path, pixels, left=left, photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, colors)


def test_values_that_are_no_class_are_counted_over_the_scene(labelled: Path, tmp_path: Path) -> None:
    mask = truth()
    mask[0, ::10, ::10] = 7  # in every window
    mask[0, 89, 119] = 9
    write_tiff(labelled / "train/masks/a.tif", mask)
    (problem,) = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert problem.file == str(labelled / "train/masks/a.tif")
    assert problem.found == "7 in 108 pixels, 9 in 1 pixels"


def test_colors_that_are_no_class_are_counted_over_the_scene(labelled: Path, tmp_path: Path) -> None:
    mask = np.zeros((3, 90, 120), np.uint8)
    mask[0, 10:30, 40:70], mask[1, ::10, ::10] = 200, 5
    write_tiff(labelled / "train/masks/a.tif", mask)
    (problem,) = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert str(problem.found).startswith("[0, 0, 0] in ")
    assert "[200, 0, 0] in 594 pixels, [0, 5, 0] in 102 pixels" in str(problem.found)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_damaged_scene_is_told_once(labelled: Path, tmp_path: Path, kind: str) -> None:
    path = labelled / f"train/{kind}/a.tif"
    pixels = scene() if kind == "images" else truth()
    write_tiff(path, pixels, compress="deflate", tiled=True, blockxsize=32, blockysize=32)
    content = bytearray(path.read_bytes())
    spoilt = len(content) // 3  # the blocks lie behind one another, the last at the end
    content[-spoilt:] = b"\xff" * spoilt
    path.write_bytes(content)
    problems = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert [problem.file for problem in problems] == [str(path)]
    assert "previous exception" not in problems[0].message


def test_a_color_table_is_read_by_its_colors(labelled: Path, tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        colored(labelled / split / "masks/a.tif", truth() * 2, left=LEFT + index * 10_000)
    classes = ("ground", "car")
    spec = spec_of(labelled, classes=classes, colors={"car": (0, 0, 200)})
    np.testing.assert_array_equal(burned(load_data(spec, tmp_path / "cache")), truth()[0])
    with pytest.raises(UserError, match=r"\[0, 0, 200\] in 600 pixels; allowed: .*\[200, 0, 0\]"):
        load_data(spec_of(labelled, classes=classes, colors={"car": (200, 0, 0)}), tmp_path / "cache")


def test_color_tables_that_contradict_each_other_are_a_problem(labelled: Path, tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        colors = COLORS if split != "val" else {0: (200, 0, 0, 255), 1: (0, 0, 0, 255)}
        colored(labelled / split / "masks/a.tif", truth(), left=LEFT + index * 10_000, colors=colors)
    report = check_data(spec_of(labelled), tmp_path / "cache")
    (problem,) = report.problems
    assert problem.file == "val/masks/a.tif"
    assert problem.found == "index 0 is [200, 0, 0]"


def test_an_image_with_a_color_table_gives_its_colors(labelled: Path, tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        pixels = np.random.default_rng(index).integers(0, 3, (1, 90, 120), np.uint8)
        colored(labelled / split / "images/a.tif", pixels, left=LEFT + index * 10_000)
    report = check_data(spec_of(labelled), tmp_path / "cache")
    assert report.bands == 3
    assert any("palette image" in note for note in report.notes)


def test_a_mask_of_another_system_is_refused_though_its_numbers_are_the_same(labelled: Path) -> None:
    write_tiff(labelled / "train/masks/a.tif", truth(), crs="EPSG:32634")
    with pytest.raises(UserError, match="different grids") as caught:
        check_quick(spec_of(labelled))
    (problem,) = caught.value.problems
    assert problem.found == "coordinates in EPSG:32634"
    assert str(problem.allowed).startswith("EPSG:32633 as in ")


def test_a_system_that_is_written_in_another_way_is_the_same(labelled: Path, tmp_path: Path) -> None:
    """As are two that put the scene on the same ground: WGS 84 and ETRS89, both in zone 33."""
    plain = rasterio.crs.CRS.from_epsg(32633).to_dict(projjson=False)
    for crs in (rasterio.crs.CRS.from_dict(plain), "EPSG:25833", None):
        transform = {} if crs else {"transform": rasterio.Affine.identity()}
        write_tiff(labelled / "train/masks/a.tif", truth(), crs=crs, **transform)
        assert check_quick(spec_of(labelled)).counts["train"] == 6
    np.testing.assert_array_equal(burned(load_data(spec_of(labelled), tmp_path / "cache")), truth()[0])


def test_a_mask_without_a_system_has_to_lie_where_its_image_does(labelled: Path) -> None:
    write_tiff(labelled / "train/masks/a.tif", truth(), crs=None)
    assert check_quick(spec_of(labelled)).counts["train"] == 6
    shifted = rasterio.transform.from_origin(LEFT + 10 * PIXEL, TOP, PIXEL, PIXEL)
    write_tiff(labelled / "train/masks/a.tif", truth(), crs=None, transform=shifted)
    with pytest.raises(UserError, match="different grids"):
        check_quick(spec_of(labelled))


def test_a_turned_mask_says_so(labelled: Path) -> None:
    write_tiff(labelled / "train/masks/a.tif", truth().swapaxes(1, 2))
    with pytest.raises(UserError, match="differ by a quarter turn"):
        check_quick(spec_of(labelled))


def test_nodata_in_one_band_of_floats_sets_no_scale(labelled: Path, tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        pixels = scene(seed=index).astype(np.float32)
        pixels[0, :8] = -9999
        write_tiff(labelled / split / "images/a.tif", pixels, left=LEFT + index * 10_000, nodata=-9999)
    data = load_data(spec_of(labelled), tmp_path / "cache")
    expected = truth()[0]
    expected[:8] = 255
    np.testing.assert_array_equal(burned(data), expected)


def test_a_scene_whose_only_foreground_is_the_ignored_value_is_suspicious(
    labelled: Path, tmp_path: Path
) -> None:
    """Counted over the scene: a window of it without foreground is nothing to look at."""
    mask = np.zeros((1, 90, 120), np.uint8)
    mask[0, 10:20, 10:20], mask[0, 60:, 80:] = 1, 255  # in its first window and in its last
    write_tiff(labelled / "train/masks/a.tif", mask)
    write_tiff(labelled / "val/masks/a.tif", truth() * 255, left=LEFT + 10_000)
    said = [
        line
        for line in check_data(spec_of(labelled), tmp_path / "cache").suspicions
        if "nothing else" in line
    ]
    assert [line.split(";")[0] for line in said] == [
        "val: 1 mask holds background and the ignored value, and nothing else: val/masks/a.tif"
    ]


def test_a_scene_that_holds_nan_is_told_once_and_counted(labelled: Path, tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        pixels = scene(seed=index).astype(np.float32)
        if split == "train":
            pixels[1, 3::10, 7::10] = np.nan  # in every window
        write_tiff(labelled / split / "images/a.tif", pixels, left=LEFT + index * 10_000)
    (problem,) = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert problem.file == str(labelled / "train/images/a.tif")
    assert problem.found == "108 pixels, the first at row 3, column 7"


def test_a_scene_of_another_kind_is_told_once(labelled: Path, tmp_path: Path) -> None:
    write_tiff(labelled / "train/images/a.tif", scene(bands=3))
    (problem,) = check_data(spec_of(labelled), tmp_path / "cache").problems
    assert problem.file == "train/images/a.tif"
    assert problem.allowed == "4 bands of uint16 as in val/images/a.tif and 1 more"


def test_alpha_bits_and_jpeg_of_a_mask_are_what_they_are_in_a_folder(labelled: Path, tmp_path: Path) -> None:
    color = np.zeros((4, 90, 120), np.uint8)
    color[0], color[3] = truth()[0] * 200, 255
    write_tiff(labelled / "train/masks/a.tif", color, photometric="RGB", alpha="YES")
    write_tiff(labelled / "val/masks/a.tif", color[:3], left=LEFT + 10_000)
    write_tiff(labelled / "test/masks/a.tif", color[:3], left=LEFT + 20_000)
    report = check_data(spec_of(labelled, colors={"foreground": (200, 0, 0)}), tmp_path / "cache")
    assert report.ok
    assert any("alpha channel of a mask dropped" in note for note in report.notes)
    for bits, white in ((1, 1), (2, 3), (4, 15)):  # what a viewer shows as 255
        for index, split in enumerate(("train", "val", "test")):
            path = labelled / split / "masks/a.tif"
            write_tiff(path, truth() * white, left=LEFT + index * 10_000, nbits=bits)
        spec = spec_of(labelled, colors={"foreground": 255})
        np.testing.assert_array_equal(burned(load_data(spec, tmp_path / "cache")), truth()[0])
    write_tiff(labelled / "val/masks/a.tif", truth() * 255, left=LEFT + 10_000, compress="jpeg")
    with pytest.raises(UserError, match="JPEG smears values"):
        load_data(spec_of(labelled), tmp_path / "cache")


def test_what_gdal_reads_beside_a_scene_is_part_of_the_data(labelled: Path, tmp_path: Path) -> None:
    np.testing.assert_array_equal(burned(load_data(spec_of(labelled), tmp_path / "cache")), truth()[0])
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"),
        rasterio.open(labelled / "train/images/a.tif", "r+") as image,
    ):
        image.write_mask(np.arange(90)[:, None].repeat(120, axis=1) >= 12)
    assert (labelled / "train/images/a.tif.msk").exists()
    expected = truth()[0]
    expected[:12] = 255
    np.testing.assert_array_equal(burned(load_data(spec_of(labelled), tmp_path / "cache")), expected)
    write_tiff(tmp_path / "all.tif", np.full((1, 90, 120), 255, np.uint8))
    (tmp_path / "all.tif").replace(labelled / "train/images/a.tif.msk")
    np.testing.assert_array_equal(burned(load_data(spec_of(labelled), tmp_path / "cache")), truth()[0])
