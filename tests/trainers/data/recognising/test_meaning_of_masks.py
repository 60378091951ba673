"""What the values of masks mean: proposed, said, and taken from a list, a palette or a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import noise, pairs, write_mask
from PIL import Image

from lossweep.search.starting.start import data_spec
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.recognising.recognise import Asked, recognise
from tests.trainers.data.recognising.test_recognise import ALL, VOC_PALETTE

MASKS: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "0 and 255": ([0, 255], {"colors": {"foreground": 255}}, "white (255) is the foreground"),
    "0, 1 and 255": ([0, 1, 255], {"classes": ["background", "foreground"]}, "taken as unlabelled"),
    "values with gaps": (
        [0, 40, 80, 120],
        {
            "classes": ["background", "class_1", "class_2", "class_3"],
            "colors": {"class_1": 40, "class_2": 80, "class_3": 120},
        },
        "",
    ),
    "gaps beside 255": (
        [0, 3, 9, 255],
        {
            "classes": ["background", "class_1", "class_2"],
            "colors": {"class_1": 3, "class_2": 9, "ignore": 255},
        },
        "--ignore none",
    ),
    "black and white in three bands": (
        [(0, 0, 0), (255, 255, 255)],
        {"colors": {"foreground": [255, 255, 255]}},
        "white (255) is the foreground",
    ),
    "colors on black": (
        [(0, 0, 0), (255, 0, 0), (0, 255, 0)],
        {
            "classes": ["background", "class_1", "class_2"],
            "colors": {"class_1": [0, 255, 0], "class_2": [255, 0, 0]},
        },
        "",
    ),
    "colors without black": (
        [(9, 9, 200), (255, 0, 0), (0, 255, 0)],
        {
            "classes": ["class_0", "class_1", "class_2"],
            "colors": {"class_0": [9, 9, 200], "class_1": [0, 255, 0], "class_2": [255, 0, 0]},
        },
        "no class is black",
    ),
    "published colors": (
        [(128, 64, 128), (0, 0, 142), (220, 20, 60), (0, 0, 0)],
        {
            "classes": ["road", "person", "car"],
            "colors": {
                "road": [128, 64, 128],
                "person": [220, 20, 60],
                "car": [0, 0, 142],
                "ignore": [0, 0, 0],
            },
        },
        "those of cityscapes",
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_what_values_of_masks_mean_is_proposed_and_said(tmp_path: Path, kind: str) -> None:
    values, expected, said = MASKS[kind]
    root = tmp_path / "set"
    pairs(root, "{split}/images/{name}.png", "{split}/masks/{name}.png", values, splits=ALL, count=3)
    found = recognise(root)
    assert {key: found.data.get(key) for key in expected} == expected
    assert any(said in remark for remark in (*found.remarks, said * (not said)))
    spec = data_spec({**found.data, "root": str(root), "tile": 64}, tmp_path)
    assert check_data(spec, tmp_path / "cache").ok


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_dict.csv", "name, r, g, b\nroad, 200, 0, 0\nfar sky,0,0,200\nVoid,0,0,0\nunseen,1,2,3\n"),
        ("label_colors.txt", "200 0 0\t\troad\n0 0 200\t\tfar sky\n0 0 0\t\tVoid\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nroad:200,0,0::\nfar sky:0,0,200::\nvoid:0,0,0::\n",
        ),
    ],
)
def test_a_list_of_classes_beside_the_images_names_the_colors(tmp_path: Path, file: str, text: str) -> None:
    pairs(tmp_path, "images/{name}.png", "masks/{name}.png", [(0, 0, 0), (200, 0, 0), (0, 0, 200)])
    (tmp_path / file).write_text(text)
    found = recognise(tmp_path)
    assert found.data["classes"] == ["road", "far sky"]
    assert found.data["colors"] == {"road": [200, 0, 0], "far sky": [0, 0, 200], "ignore": [0, 0, 0]}
    assert any(f"those of {file}" in remark for remark in found.remarks)


def test_names_and_ignored_values_of_a_person_are_taken(tmp_path: Path) -> None:
    pairs(tmp_path, "images/{name}.png", "masks/{name}.png", [0, 10, 20])
    found = recognise(tmp_path, Asked(classes=("sea", "ship"), ignored=(20,)))
    assert found.data["classes"] == ["sea", "ship"]
    assert found.data["colors"] == {"ship": 10, "ignore": 20}
    with pytest.raises(UserError, match=r"--classes.*found 2 names; allowed: 3, for black \(0\)"):
        recognise(tmp_path, Asked(classes=("sea", "ship")))


def test_masks_that_cannot_be_masks_are_told(tmp_path: Path) -> None:
    pairs(tmp_path, "images/{name}.png", "masks/{name}.png", [0, 255])
    for path in sorted((tmp_path / "masks").iterdir()):
        Image.open(path).convert("RGB").rotate(20).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    with pytest.raises(UserError, match=r"save (them|masks) as PNG"):
        recognise(tmp_path)
    for number, path in enumerate(sorted((tmp_path / "masks").iterdir())):
        noise(path.with_suffix(".png"), number)
        path.unlink()
    with pytest.raises(UserError, match="as a photograph has"):
        recognise(tmp_path)
    for path in sorted((tmp_path / "masks").iterdir()):
        write_mask(path, np.zeros((64, 64), np.uint8))
    with pytest.raises(UserError, match="one value only"):
        recognise(tmp_path)


def test_palette_files_that_show_some_classes_only_are_read_by_color(tmp_path: Path) -> None:
    pairs(
        tmp_path,
        "{split}/images/{name}.png",
        "{split}/masks/{name}.png",
        [0, 7, 15, 255],
        splits=ALL,
        palette=VOC_PALETTE + [0] * 3 * (255 - 21) + [224, 224, 192],
    )
    found = recognise(tmp_path)
    assert found.data["classes"] == ["background", "car", "person"]
    assert found.data["colors"]["ignore"] == [224, 224, 192]
    spec = data_spec({**found.data, "root": str(tmp_path), "tile": 64}, tmp_path)
    assert check_data(spec, tmp_path.parent / "cache").ok
