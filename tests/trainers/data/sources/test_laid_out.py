from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.loading import open_source
from lossweep.trainers.data.spec import FolderSource


def write(root: Path, *names: str, value: int = 0) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((32, 32), value, np.uint8)
        pixels[:4, :4] = number % 2
        Image.fromarray(pixels).save(root / name)


def spec(root: Path, layout: dict[str, Any], **more: Any) -> FolderSource:
    return FolderSource.model_validate({"source": "folder", "root": str(root), "layout": layout, **more})


def listed(given: FolderSource) -> dict[str, list[str]]:
    listing = open_source(given).listing()
    assert not listing.problems, "\n".join(map(str, listing.problems))
    return {
        split: [f"{image.relative_to(given.root)} {mask.relative_to(given.root)}" for image, mask in found]
        for split in ("train", "val", "test")
        if (found := [item.place for item in listing.of(split)])
    }


def both(found: dict[str, list[str]]) -> list[str]:
    return sorted(pair for pairs in found.values() for pair in pairs)


def test_folders_of_other_names(tmp_path: Path) -> None:
    write(tmp_path, "img/training/a.jpg", "img/dev/b.jpg", "gt/training/a_gt.png", "gt/dev/b_gt.png")
    layout = {
        "images": "img/{split}/{name}.*",
        "masks": "gt/{split}/{name}_gt.*",
        "splits": {"train": "training", "val": "dev"},
    }
    assert listed(spec(tmp_path, layout)) == {
        "train": ["img/training/a.jpg gt/training/a_gt.png"],
        "val": ["img/dev/b.jpg gt/dev/b_gt.png"],
    }


def test_images_and_masks_in_one_folder_are_told_apart_by_what_the_longer_pattern_says(
    tmp_path: Path,
) -> None:
    names = [f"{name}{end}.png" for name in "abcd" for end in ("", "_mask")]
    write(tmp_path, *names)
    layout = {"images": "{name}.*", "masks": "{name}_mask.*"}
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    found = listed(spec(tmp_path, layout, split=split))
    assert both(found) == [f"{name}.png {name}_mask.png" for name in "abcd"]
    turned = {"images": "{name}_mask.*", "masks": "{name}.*"}
    found = listed(spec(tmp_path, turned, split=split))
    assert both(found) == [f"{name}_mask.png {name}.png" for name in "abcd"]


def test_lists_say_the_splits(tmp_path: Path) -> None:
    write(tmp_path, *(f"JPEGImages/{name}.jpg" for name in "abcx"), *(f"Seg/{name}.png" for name in "abc"))
    (tmp_path / "Sets").mkdir()
    (tmp_path / "Sets/train.txt").write_text("a\nb\n")
    (tmp_path / "Sets/val.txt").write_text("JPEGImages/c.jpg\n\n")
    layout = {"images": "JPEGImages/{name}.*", "masks": "Seg/{name}.*", "lists": "Sets/{split}.txt"}
    given = spec(tmp_path, layout)
    found = listed(given)
    assert found["train"] == ["JPEGImages/a.jpg Seg/a.png", "JPEGImages/b.jpg Seg/b.png"]
    assert found["val"] == ["JPEGImages/c.jpg Seg/c.png"]
    assert "1 images are in no list: left out" in open_source(given).listing().notes
    (tmp_path / "Sets/val.txt").write_text("c\nnowhere\nx\n")
    problems = list(map(str, open_source(given).listing().problems))
    assert len(problems) == 2
    assert "list names an image that is not there; found nowhere" in problems[0]
    assert "x.jpg: image has no mask" in problems[1]


def test_what_has_no_mask_is_refused_or_left_out_as_is_said(tmp_path: Path) -> None:
    write(tmp_path, *(f"img/{name}.png" for name in "abcde"), *(f"gt/{name}.png" for name in "abc"))
    write(tmp_path, "gt/z.png")
    layout = {"images": "img/{name}.*", "masks": "gt/{name}.*"}
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    problems = [str(each) for each in open_source(spec(tmp_path, layout, split=split)).listing().problems]
    assert [each.partition(";")[0].rpartition("/")[2] for each in problems] == [
        "d.png: image has no mask",
        "e.png: image has no mask",
        "z.png: mask has no image",
    ]
    (tmp_path / "gt/z.png").unlink()
    given = spec(tmp_path, {**layout, "unlabelled": "out"}, split=split)
    assert len(open_source(given).listing().items) == 3
    assert "d.png, e.png: left out, images without a mask" in open_source(given).listing().notes


@pytest.mark.parametrize("laid", [False, True])
def test_splits_without_files_of_their_own_are_taken_from_train(tmp_path: Path, laid: bool) -> None:
    write(tmp_path, *(f"train/images/{i}.png" for i in range(10)), "test/images/t.png")
    write(tmp_path, *(f"train/masks/{i}.png" for i in range(10)), "test/masks/t.png")
    layout = {"images": "{split}/images/{name}.*", "masks": "{split}/masks/{name}.*"} if laid else None
    given = FolderSource.model_validate(
        {"source": "folder", "root": str(tmp_path), "layout": layout, "from_train": {"val": 0.3}}
    )
    found = listed(given)
    assert {split: len(names) for split, names in found.items()} == {"train": 7, "val": 3, "test": 1}
    assert listed(given) == found
    both = given.model_copy(
        update={"from_train": type(given.from_train).model_validate({"val": 0.3, "test": 0.1})}
    )
    (problem,) = open_source(both).listing().problems
    assert "test has images of its own" in str(problem)


def test_nothing_where_the_layout_says_is_told_with_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    layout = {"images": "img/{name}.*", "masks": "gt/{name}.*"}
    given = spec(tmp_path, layout, split={"train": 0.5, "val": 0.25, "test": 0.25})
    text = "\n".join(map(str, open_source(given).listing().problems))
    assert "no image lies where layout says; found a.png; allowed: img/{name}.*" in text


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"images": "{nme}.png", "masks": "{name}.png"}, "only {name} and {split} stand in braces"),
        ({"images": "a.png", "masks": "{name}.png"}, "images must hold {name} once"),
        ({"images": "{name}.png", "masks": "{name}.png"}, "a file would be its own mask"),
        ({"images": "/data/{name}.png", "masks": "{name}.gif"}, "stay in it"),
        ({"images": "../{name}.png", "masks": "{name}.gif"}, "stay in it"),
        ({"images": "a/{name}.png", "masks": "b/{name}.png"}, "layout says no splits"),
        ({"images": "a/{name}.png", "masks": "b/{name}.png", "lists": "l.txt"}, "lists must hold {split}"),
        ({"images": "{split}/{name}.png", "masks": "{name}.gif", "lists": "{split}"}, "the lists say it"),
        ({"images": "a/{name}.png", "masks": "{split}/{name}.gif"}, "masks hold {split}"),
    ],
)
def test_layouts_that_say_nothing_are_refused(tmp_path: Path, layout: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("{", r"\{")):
        spec(tmp_path, layout)


def test_a_class_may_have_several_colors(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / split / "images" / "a.png")
        mask = np.zeros((32, 32, 3), np.uint8)
        mask[:2], mask[2:4], mask[4:8], mask[8:9] = (255, 0, 0), (0, 255, 0), (7, 7, 7), (8, 8, 8)
        Image.fromarray(mask).save(tmp_path / split / "masks" / "a.png")
    colors = {"car": [[255, 0, 0], [0, 255, 0]], "ignore": [[7, 7, 7], [8, 8, 8]]}
    given = FolderSource.model_validate(
        {"source": "folder", "root": str(tmp_path), "classes": ["ground", "car"], "colors": colors}
    )
    report = check_data(given, tmp_path / "cache")
    assert report.ok
    assert report.splits[0].fractions == pytest.approx((23 / 27, 4 / 27))
    assert report.splits[0].ignored == pytest.approx(5 / 32)
    with pytest.raises(ValidationError, match="two classes share one"):
        FolderSource.model_validate({**given.model_dump(), "colors": {"car": [[1, 1, 1], [0, 0, 0]]}})


def test_decoding_a_layout_reads_the_named_files(tmp_path: Path) -> None:
    write(tmp_path, "x/train.png", "x/val.png", "y/train_y.png", "y/val_y.png")
    layout = {"images": "x/{split}{name}", "masks": "y/{split}_y{name}"}
    source = open_source(spec(tmp_path, layout))
    item = source.listing().of("val")[0]
    try:
        decoded = source.decode(item)
    except UserError as error:  # pragma: no cover - shows what was wrong
        pytest.fail(str(error))
    assert decoded.mask.sum() == 16
