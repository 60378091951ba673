from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import open_source
from lossweep.trainers.data.sources.run_lengths import decoded
from lossweep.trainers.data.specs.coco import CocoSource


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def annotation(image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": image, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


def write(root: Path, file: str, annotations: list[dict[str, Any]], images: int = 2) -> None:
    (root / "images").mkdir(exist_ok=True)
    named = []
    for number in range(images):
        name = f"{Path(file).stem}_{number}.png"
        Image.fromarray(np.full((40, 48), 9 * number, np.uint8)).save(root / "images" / name)
        named.append({"id": number, "file_name": name, "width": 48, "height": 40})
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    (root / file).write_text(
        json.dumps({"images": named, "annotations": annotations, "categories": categories})
    )


def spec(root: Path, **more: Any) -> CocoSource:
    keys = {"classes": ["ground", "dog"], "annotations": "{split}.json", **more}
    return CocoSource.model_validate({"source": "coco", "root": str(root), **keys})


def test_polygons_are_drawn_pixel_by_pixel(tmp_path: Path) -> None:
    crowd = {"size": [40, 48], "counts": [0, 40, 40 * 47]}
    drawn = [
        annotation(0, 7, square(10, 20, 4), area=16),
        annotation(0, 3, square(30, 0, 5), area=25),  # a cat is no class here
        annotation(0, 3, crowd, area=40, iscrowd=1),
        annotation(1, 7, [[0, 0, 48, 0, 48, 40, 0, 40]], area=48 * 40),
    ]
    write(tmp_path, "train.json", drawn)
    write(tmp_path, "val.json", [annotation(0, 7, square(1, 1, 9))])
    source = open_source(spec(tmp_path))
    listing = source.listing()
    assert not listing.problems
    assert "train.json: categories that are no classes taken as background: cat" in listing.notes
    mask = source.decode(listing.of("train")[0]).mask
    expected = np.zeros((40, 48), np.uint8)
    expected[20:24, 10:14], expected[:, 0] = 1, 255
    np.testing.assert_array_equal(mask, expected)
    report = check_data(spec(tmp_path), tmp_path / "cache")
    assert report.ok
    assert report.splits[0].objects[1].count == 2


def test_the_smaller_of_two_objects_lies_on_top(tmp_path: Path) -> None:
    small = annotation(0, 3, square(10, 10, 4), area=16)
    large = annotation(0, 7, square(0, 0, 40), area=1600)
    for order in ([small, large], [large, small]):
        write(tmp_path, "train.json", order)
        write(tmp_path, "val.json", [large])
        source = open_source(spec(tmp_path, classes=["ground", "dog", "cat"]))
        mask = source.decode(source.listing().of("train")[0]).mask
        assert (mask[10:14, 10:14] == 2).all()
        assert int((mask == 2).sum()) == 16


def test_one_file_is_divided_and_a_missing_split_is_taken_from_train(tmp_path: Path) -> None:
    drawn = [annotation(number, 7, square(1, 1, 9)) for number in range(10)]
    write(tmp_path, "all.json", drawn, images=10)
    split = {"train": 0.6, "val": 0.2, "test": 0.2}
    listing = open_source(spec(tmp_path, annotations="all.json", split=split)).listing()
    assert dict(listing.counts) == {"train": 6, "val": 2, "test": 2}
    write(tmp_path, "train.json", drawn, images=10)
    listing = open_source(spec(tmp_path, from_train={"val": 0.3})).listing()
    assert dict(listing.counts) == {"train": 7, "val": 3, "test": 0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "annotations are no JSON"),
        ("[]", "annotations are not in COCO's format"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "bird"}]}',
            "found dog; allowed: bird",
        ),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}', "file_name"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    write(tmp_path, "val.json", [])
    (tmp_path / "train.json").write_text(content)
    problems = open_source(spec(tmp_path)).listing().problems
    assert any(said in str(problem) and "train.json" in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[1, 2, 3, 4]], "three pairs"),
        ([[1, 2, 3, 4, 5, "x"]], "could not convert"),
        ({"size": [40, 48], "counts": [7]}, "fill 7 pixels of 1920"),
        ({"size": [4, 4], "counts": [16]}, r"of \[4, 4\]"),
        ({"size": [40, 48]}, "counts"),
    ],
)
def test_an_outline_that_cannot_be_drawn_is_named(tmp_path: Path, segmentation: Any, said: str) -> None:
    write(tmp_path, "train.json", [annotation(0, 7, segmentation)])
    write(tmp_path, "val.json", [])
    source = open_source(spec(tmp_path))
    with pytest.raises(UserError, match=f"annotation 0 can't be drawn.*{said}"):
        source.decode(source.listing().of("train")[0])


def test_run_lengths_as_characters() -> None:
    """The text is pycocotools' for this mask: ``encode(asfortranarray(mask))["counts"]``."""
    expected = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]], bool)
    plain = {"size": [3, 4], "counts": [4, 4, 3, 1]}
    text = {"size": [3, 4], "counts": "443M"}  # the fourth run is 1, 3 less than the second
    np.testing.assert_array_equal(decoded(plain, 3, 4), expected)
    np.testing.assert_array_equal(decoded(text, 3, 4), expected)
    with pytest.raises(ValueError, match="middle of a number"):
        decoded({"size": [3, 4], "counts": "4P"}, 3, 4)
