"""Reports of data that were read wrongly in silence: each is named, with its file, before any training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.loading import load_data
from lossweep.trainers.data.spec import FolderSource

Spoil = Callable[[np.ndarray], Image.Image]


def truth(index: int) -> np.ndarray:
    mask = np.zeros((32, 40), np.uint8)
    mask[4 + index : 14 + index, 6:16] = 1
    return mask


@pytest.fixture
def data(tmp_path: Path) -> FolderSource:
    """Sound pairs, written last file first."""
    generator, root = np.random.default_rng(0), tmp_path / "set"
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index in reversed(range(count)):
            pixels = generator.integers(60, 140, (32, 40, 3), np.uint8)
            pixels[0, 0] = index
            Image.fromarray(pixels).save(root / split / "images" / f"{index}.png")
            Image.fromarray(truth(index)).save(root / split / "masks" / f"{index}.png")
    return FolderSource(source="folder", root=str(root), tile=32, classes=("background", "vehicle"))


def spoiled(data: FolderSource, spoil: Spoil, name: str = "train/masks/1.png") -> str:
    """What is said, problems and suspicions, once one file has been written anew."""
    path = Path(data.root) / name
    spoil(np.asarray(Image.open(path))).save(path)
    report = check_data(data, Path(data.root).parent / "cache")
    return "\n".join([*(str(problem) for problem in report.problems), *report.suspicions])


def test_masks_of_0_and_255_are_not_taken_for_ignored_pixels(data: FolderSource) -> None:
    said = spoiled(data, lambda mask: Image.fromarray(mask * 255))
    assert "1 mask holds background and the ignored value, and nothing else: train/masks/1.png" in said


def test_a_value_that_is_no_class_names_its_file_before_any_training(data: FolderSource) -> None:
    said = spoiled(data, lambda mask: Image.fromarray(mask * 7))
    assert "train/masks/1.png" in said
    assert "7" in said
    with pytest.raises(UserError, match=r"train/masks/1\.png"):
        load_data(data, Path(data.root).parent / "cache")


def test_a_mask_that_was_resized_with_blending_is_named(data: FolderSource) -> None:
    def blend(mask: np.ndarray) -> Image.Image:
        small = Image.fromarray(mask * 200).resize((20, 16), Image.Resampling.BILINEAR)
        return small.resize((40, 32), Image.Resampling.BILINEAR)

    assert "train/masks/1.png" in spoiled(data, blend)


def test_the_indices_of_a_palette_are_the_classes(data: FolderSource) -> None:
    for path in Path(data.root).rglob("masks/*.png"):
        picture = Image.fromarray(np.asarray(Image.open(path))).convert("P")
        picture.putpalette([0, 0, 0, 128, 0, 0])
        picture.save(path)
    batch = next(load_data(data, Path(data.root).parent / "cache").train.evaluation_batches(3, "cpu"))
    assert set(np.unique(batch.masks.numpy())) - {255} == {0, 1}
    np.testing.assert_array_equal(batch.masks[1].numpy()[:32, :40], truth(1))


def test_an_image_stored_turned_beside_its_mask_is_suspicious(data: FolderSource) -> None:
    path = Path(data.root) / "train" / "images" / "1.png"
    picture = Image.open(path)
    picture.load()
    exif = picture.getexif()
    exif[0x0112] = 3
    picture.save(path, exif=exif)
    report = check_data(data, Path(data.root).parent / "cache")
    assert any("train/images/1.png" in line and "EXIF" in line for line in report.suspicions)


def test_images_and_masks_are_paired_by_name_not_by_order(data: FolderSource) -> None:
    loaded = load_data(data, Path(data.root).parent / "cache")
    masks = [batch.masks[0].numpy()[:32, :40] for batch in loaded.train.evaluation_batches(1, "cpu")]
    assert len(masks) == 3
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, truth(index))


def test_an_image_without_its_mask_is_named(data: FolderSource) -> None:
    (Path(data.root) / "train" / "masks" / "1.png").unlink()
    with pytest.raises(UserError, match=r"train/images/1\.png"):
        check_quick(data)


def test_a_mask_of_another_size_is_named(data: FolderSource) -> None:
    said = spoiled(data, lambda mask: Image.fromarray(mask[:30]))
    assert "train/masks/1.png" in said
    assert "40 x 30" in said or "30 x 40" in said


def test_a_damaged_file_is_named_in_one_line(data: FolderSource) -> None:
    (Path(data.root) / "train" / "masks" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n half of a file")
    report = check_data(data, Path(data.root).parent / "cache")
    (problem,) = report.problems
    assert "train/masks/1.png" in str(problem)
    assert "\n" not in str(problem)
