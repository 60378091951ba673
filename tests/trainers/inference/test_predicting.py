"""Files predicted into a folder: where they lie, what of them is valid, what is wrong, and going on."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.inference import scenes, writing
from lossweep.trainers.inference.predicting import Predictor, Settings, jobs_of
from lossweep.trainers.inference.segmenter import Segmenter
from lossweep.trainers.loop.passes import PassSize
from tests.trainers.inference.images import ORIGIN, UTM, scene, smooth
from tests.trainers.inference.models import NEAR, untrained

NEARLY: dict[str, Any] = {"tile": 128, "overlap": 32}


def predict(
    segmenter: Segmenter, inputs: list[Path], output: Path, anew: bool = False, **settings: Any
) -> list[tuple[str, int, int]]:
    """Predict, and return what was told of it."""
    given = Settings(**settings)
    told: list[tuple[str, int, int]] = []
    predictor = Predictor(segmenter, output, given, anew=anew)
    predictor.run(jobs_of(inputs, output, given), lambda *each: told.append(each))
    return told


@pytest.fixture(params=["rasterio", "tifffile"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the extra `geo` is there."""
    name = str(request.param)
    for module in (scenes, writing):
        monkeypatch.setattr(module, "has_rasterio", lambda: name == "rasterio")
    return name


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_a_scene_keeps_its_place_and_what_it_does_not_show(
    reader: str, tiled: bool, interleave: str, tmp_path: Path
) -> None:
    segmenter, image = untrained(3, NEAR), smooth(300, 410)
    image[40:60, 200:] = 0
    blocks = {"blockxsize": 64, "blockysize": 64} if tiled else {"blockysize": 50}
    kept: dict[str, Any] = {"nodata": 0, "tiled": tiled, "interleave": interleave, "compress": "deflate"}
    place = scene(tmp_path / "scene.tif", image, **kept, **blocks)
    # Of a small pass: without rasterio, what fits one is read whole by all other readers.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Segmenter, "pass_size", PassSize(images=1, pixels=128 * 128, tile=64))
        predict(segmenter, [place], tmp_path / "out", products=("masks", "probabilities"), **NEARLY)
    with rasterio.open(tmp_path / "out" / "scene.tif") as found:
        assert (found.crs, found.transform, found.nodata) == (UTM, ORIGIN, 255)
        assert found.colormap(1)[1][:3] == (230, 159, 0)
        mask = found.read(1)
    with rasterio.open(tmp_path / "out" / "scene.probabilities.tif") as found:
        assert (found.crs, found.transform, found.count, found.dtypes[0]) == (UTM, ORIGIN, 3, "float32")
        assert np.isnan(found.nodata)
        shares = found.read()
    nothing = (image == 0).all(axis=2)
    np.testing.assert_array_equal(mask == 255, nothing)
    np.testing.assert_array_equal(np.isnan(shares[0]), nothing)
    np.testing.assert_allclose(
        shares[:, ~nothing], segmenter.probabilities([image])[0][:, ~nothing], atol=1e-6
    )
    np.testing.assert_array_equal(mask[~nothing], shares.argmax(axis=0)[~nothing])


def test_pictures_become_masks_with_a_palette_where_they_lie(tmp_path: Path) -> None:
    segmenter = untrained(3)
    for name in ("a/one.png", "b/one.png", "b/two.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(70, 90)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    told = predict(segmenter, [tmp_path / "in"], tmp_path / "in" / "out")
    assert len({file for file, _, _ in told}) == 3
    with Image.open(tmp_path / "in" / "out" / "a" / "one.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[3:6] == [230, 159, 0]
        values = np.asarray(mask)
    np.testing.assert_array_equal(values, segmenter.masks([tmp_path / "in" / "a" / "one.png"])[0])
    assert sorted(path.name for path in (tmp_path / "in" / "out" / "b").iterdir()) == ["one.png", "two.png"]
    assert predict(segmenter, [tmp_path / "in"], tmp_path / "in" / "out") == []  # all there
    os.utime(tmp_path / "in" / "b" / "two.jpg")
    again = predict(segmenter, [tmp_path / "in"], tmp_path / "in" / "out")
    assert {Path(file).name for file, _, _ in again} == {"two.jpg"}
    anew = predict(segmenter, [tmp_path / "in"], tmp_path / "in" / "out", anew=True)
    assert len({file for file, _, _ in anew}) == 3


@pytest.mark.parametrize("coordinates", ["wgs84", "scene"])
def test_polygons_lie_over_their_objects(coordinates: Any, tmp_path: Path) -> None:
    from rasterio.features import rasterize
    from rasterio.warp import transform_geom

    segmenter, image = untrained(3, NEAR), smooth(200, 300)
    place = scene(tmp_path / "scene.tif", image)
    products = ("masks", "polygons")
    predict(segmenter, [place], tmp_path, products=products[1:], coordinates=coordinates, **NEARLY)
    mask = segmenter.masks([image])[0]
    content = json.loads((tmp_path / "scene.geojson").read_text())
    assert ("crs" in content) == (coordinates == "scene")
    shapes = []
    for feature in content["features"]:
        geometry, told = feature["geometry"], feature["properties"]
        for number, ring in enumerate(geometry["coordinates"]):
            area = sum(a * d - b * c for (a, b), (c, d) in pairwise(ring))
            assert (area > 0) == (number == 0)
        if coordinates == "wgs84":
            longitude, latitude = geometry["coordinates"][0][0]
            assert 14.9 < longitude < 15.1
            assert 41.9 < latitude < 42.1
            geometry = transform_geom("OGC:CRS84", UTM, geometry)
        shapes.append((geometry, told["index"]))
        assert told["class"] == segmenter.spec.classes[told["index"]]
    burnt = rasterize(shapes, mask.shape, transform=ORIGIN)
    assert np.count_nonzero(burnt != mask) <= 2  # a logit on the threshold
    assert sum(feature["properties"]["pixels"] for feature in content["features"]) == np.count_nonzero(burnt)


def test_all_mistakes_are_named_at_once_and_nothing_is_predicted(tmp_path: Path) -> None:
    segmenter = untrained(2, NEAR)
    Image.fromarray(smooth(40, 40)).save(tmp_path / "fine.png")
    Image.fromarray(smooth(40, 40)[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "torn.tif").write_bytes(b"II*\0torn")
    tifffile.imwrite(tmp_path / "nowhere.tif", smooth(40, 40))
    given = [tmp_path / name for name in ("fine.png", "grey.png", "torn.tif", "nowhere.tif")]
    with pytest.raises(UserError) as raised:
        predict(segmenter, given, tmp_path / "out", products=("masks", "polygons"))
    fine, grey, torn, nowhere = map(str, raised.value.problems)
    for told, path in zip((fine, grey, torn, nowhere), given, strict=True):
        assert told.startswith(f"{path}: ")
    assert "no coordinate system" in fine
    assert "found 1 band of uint8; allowed: 3 bands of uint8" in grey
    assert "no coordinate system" in nowhere
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lossweep"]
    (tmp_path / "empty").mkdir()
    Image.fromarray(smooth(40, 40)).save(tmp_path / "fine.jpg")
    given = [tmp_path / name for name in ("none.png", "empty", "fine.png", "fine.jpg")]
    with pytest.raises(UserError) as raised:
        jobs_of(given, tmp_path / "out", Settings(tile=100, overlap=96))
    assert len(raised.value.problems) == 5


def test_what_breaks_off_later_is_told_after_all_others(tmp_path: Path) -> None:
    segmenter = untrained(2, NEAR)
    broken = scene(tmp_path / "a.tif", smooth(300, 300), compress="deflate", blockysize=20)
    whole = broken.read_bytes()
    half = len(whole) // 2
    broken.write_bytes(whole[:half] + b"\xff" * 3000 + whole[half + 3000 :])
    fine = scene(tmp_path / "b.tif", smooth(300, 300))
    with pytest.raises(UserError, match=r"a\.tif: .*damaged GeoTIFF"):
        predict(segmenter, [broken, fine], tmp_path / "out", **NEARLY)
    assert (tmp_path / "out" / "b.tif").is_file()
    assert not (tmp_path / "out" / "a.tif").exists()


def test_a_folder_is_of_one_model_and_of_one_run_at_a_time(tmp_path: Path) -> None:
    from filelock import FileLock

    Image.fromarray(smooth(40, 40)).save(tmp_path / "one.png")
    given = [tmp_path / "one.png"]
    predict(untrained(2, NEAR), given, tmp_path / "out")
    for other in (untrained(2, NEAR, threshold=0.5), untrained(2)):
        with pytest.raises(UserError, match=r"of another model, or by other settings.*--overwrite"):
            predict(other, given, tmp_path / "out")
    with pytest.raises(UserError, match="another model, or by other settings"):
        predict(untrained(2, NEAR), given, tmp_path / "out", flips=True)
    predict(untrained(2), given, tmp_path / "out", anew=True)
    with (
        FileLock(tmp_path / "out" / ".lossweep" / "lock"),
        pytest.raises(UserError, match="another lossweep predict writes there"),
    ):
        predict(untrained(2), given, tmp_path / "out")


class Killed(BaseException):
    """What stops a run from outside."""


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_stopped_run_goes_on_with_the_rows_that_are_missing(rows: int, tmp_path: Path) -> None:
    segmenter = untrained(2)
    place = scene(tmp_path / "scene.tif", smooth(500, 200), compress="deflate")
    products = ("masks", "probabilities")
    settings = Settings(products=products, **NEARLY)
    once = predict(segmenter, [place], tmp_path / "once", products=products, **NEARLY)
    assert once[-1][1] == once[-1][2] > 4

    def stop(file: str, done: int, total: int) -> None:
        if done == rows:
            raise Killed

    jobs = jobs_of([place], tmp_path / "twice", settings)
    predictor = Predictor(segmenter, tmp_path / "twice", settings)
    with pytest.raises(Killed):
        predictor.run(jobs, stop)
    assert not list((tmp_path / "twice").glob("*.tif"))
    again = predict(segmenter, [place], tmp_path / "twice", products=products, **NEARLY)
    assert [done for _, done, _ in again] == list(range(rows, once[-1][2] + 1))
    for name in ("scene.tif", "scene.probabilities.tif"):
        with (
            rasterio.open(tmp_path / "once" / name) as one,
            rasterio.open(tmp_path / "twice" / name) as other,
        ):
            np.testing.assert_array_equal(one.read(), other.read())
    assert sorted(path.name for path in (tmp_path / "twice" / ".lossweep").iterdir()) == [
        "lock",
        "predicted-with.json",
    ]


def test_no_read_is_larger_than_a_tile_and_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scene of 40 million pixels, 120 MB of bytes and 480 MB of floats, in the memory of some tiles."""
    import tracemalloc

    most = 0
    read = scenes._ByRasterio.read

    def measured(self: Any, row: int, column: int, height: int, width: int) -> Any:
        nonlocal most
        most = max(most, height * width)
        return read(self, row, column, height, width)

    monkeypatch.setattr(scenes._ByRasterio, "read", measured)
    path = tmp_path / "scene.tif"
    profile = {"width": 2000, "height": 20_000, "count": 3, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **profile) as file:
        file.write(np.full((3, 512, 512), 90, np.uint8), window=rasterio.windows.Window(100, 9000, 512, 512))
    segmenter = untrained(2, NEAR)
    tracemalloc.start()
    predict(segmenter, [path], tmp_path / "out", tile=512, overlap=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most <= 512 * 512
    assert peak < 40e6
    with rasterio.open(tmp_path / "out" / "scene.tif") as found:
        assert found.shape == (20_000, 2000)
