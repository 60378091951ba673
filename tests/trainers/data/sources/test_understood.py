"""What is odd but has one sensible meaning is loaded, and said in a note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile_files import (
    grey_png,
    nan_in_a_tiff,
)
from PIL import Image

from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.sources.images import read_picture
from lossweep.trainers.data.sources.masks import MaskCoding
from lossweep.trainers.data.sources.picture import as_image
from lossweep.trainers.data.spec import FolderSource


def test_palette_alpha_and_one_bit_files_are_understood_and_noted(
    folder_spec: FolderSource, tmp_path: Path
) -> None:
    root = Path(folder_spec.root)
    truth = np.asarray(Image.open(root / "train/masks/train0.png"))
    paletted = Image.fromarray(truth).convert("P")
    paletted.putpalette([0, 0, 0, 200, 30, 30])
    paletted.save(root / "train/masks/train0.png")
    Image.fromarray(truth.astype(bool)).save(root / "train/masks/train1.png")
    image = Image.open(root / "train/images/train0.png")
    image.putalpha(255)
    image.save(root / "train/images/train0.png")
    holed = np.dstack(
        [np.asarray(Image.open(root / "train/images/train2.png")), np.full((40, 48), 255, np.uint8)]
    )
    holed[:7, :, 3] = 0
    Image.fromarray(holed).save(root / "train/images/train2.png")
    data = load_data(folder_spec, tmp_path / "cache")
    masks = [b.masks[0, :40, :48].numpy() for b in data.train.evaluation_batches(1, "cpu")]
    np.testing.assert_array_equal(masks[0], truth)
    np.testing.assert_array_equal(masks[1], truth)
    assert (masks[2][:7] == 255).all()
    assert not (masks[2][7:] == 255).any()
    assert data.channels == 3
    notes = "\n".join(check_data(folder_spec, tmp_path / "cache").lines())
    assert "train/images/train0.png: alpha channel dropped" in notes
    assert "train/images/train2.png: transparent pixels taken as ignored" in notes
    assert "train/images/train0.png: palette mask, its indices taken as class indices" in notes


def test_shallow_masks_are_indices_or_with_colors_what_a_viewer_shows(tmp_path: Path) -> None:
    by_index = MaskCoding(FolderSource(source="folder", root="x", classes=("a", "b", "c", "d")))
    by_color = MaskCoding(
        FolderSource(source="folder", root="x", classes=("a", "b"), colors={"b": 255, "ignore": 85})
    )
    path = tmp_path / "x.png"
    grey_png(path, 2, [bytes([0b00_01_10_11])] * 2, 4)
    coded = by_index.decode(read_picture(path, 100), "x")
    np.testing.assert_array_equal(coded.mask, [[0, 1, 2, 3]] * 2)
    grey_png(path, 2, [bytes([0b00_01_11_11])] * 2, 4)
    coded = by_color.decode(read_picture(path, 100), "x")
    np.testing.assert_array_equal(coded.mask, [[0, 255, 1, 1]] * 2)
    np.testing.assert_array_equal(as_image(read_picture(path, 100))[0][0, :, 0], [0, 85, 255, 255])
    Image.fromarray(np.eye(4, dtype=bool)).save(path)
    np.testing.assert_array_equal(by_index.decode(read_picture(path, 100), "x").mask, np.eye(4))
    np.testing.assert_array_equal(by_color.decode(read_picture(path, 100), "x").mask, np.eye(4))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_one_bit_tiff_holds_what_a_viewer_shows(photometric: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.eye(4, dtype=bool), photometric=photometric)
    shown = np.asarray(Image.open(tmp_path / "x.tif"))
    picture = read_picture(tmp_path / "x.tif", 100)
    np.testing.assert_array_equal(picture.values[..., 0], shown)


def test_a_palette_image_gives_its_colors(folder_spec: FolderSource, tmp_path: Path) -> None:
    path = Path(folder_spec.root) / "train/images/train0.png"
    Image.open(path).quantize(16).save(path)
    colors = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(as_image(read_picture(path, 10**6))[0], colors)
    assert load_data(folder_spec, tmp_path / "cache").channels == 3


def test_nan_where_the_mask_ignores_is_no_problem(folder_spec: FolderSource, tmp_path: Path) -> None:
    root = Path(folder_spec.root)
    nan_in_a_tiff(root)
    mask = np.array(Image.open(root / "train/masks/train2.png"))
    mask[3, 4] = 255
    Image.fromarray(mask).save(root / "train/masks/train2.png")
    data = load_data(folder_spec, tmp_path / "cache")
    assert all(batch.images.isfinite().all() for batch in data.train.evaluation_batches(1, "cpu"))
