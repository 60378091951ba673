"""Scenes with a place on Earth are cut into windows and blocks that lie where they should."""

from __future__ import annotations

import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from geodata import (
    LEFT,
    burned,
    scene,
    spec_of,
    write_tiff,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.sources.raster import Raster
from lossweep.trainers.data.sources.windows import blocks, windows
from lossweep.trainers.data.spec import Blocks, Fractions


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


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(
    height=st.integers(1, 900), width=st.integers(1, 900), size=st.integers(64, 256), gap=st.integers(0, 32)
)
def test_blocks_keep_their_distance(height: int, width: int, size: int, gap: int) -> None:
    found = list(blocks(height, width, size, gap))
    rows, columns = (sorted({(box[i], box[i] + box[i + 2]) for box in found}) for i in (0, 1))
    assert len(found) == len(rows) * len(columns)
    for stretches, extent in ((rows, height), (columns, width)):
        assert len(stretches) == max(1, round(extent / size))
        assert (stretches[0][0], stretches[-1][1]) == (0, extent)
        assert all(start < end for start, end in stretches)
        assert all(after[0] - before[1] == gap for before, after in pairwise(stretches))


def test_scenes_of_two_splits_that_overlap_are_noted(labelled: Path) -> None:
    write_tiff(labelled / "val/images/a.tif", scene(), left=LEFT + 100)
    write_tiff(labelled / "val/masks/a.tif", np.ones((1, 90, 120), np.uint8), left=LEFT + 100)
    (note,) = Raster(spec_of(labelled)).listing().notes
    assert "train/images/a.tif (train) and val/images/a.tif (val) show the same ground" in note


def test_without_rasterio_the_extra_is_named(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UserError, match=r"pip install 'lossweep\[geo\]'"):
        check_quick(spec_of(labelled))
