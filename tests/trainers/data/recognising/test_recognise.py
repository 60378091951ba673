from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from folders import coco, noise, pairs, squares, write_mask

from lossweep.search.starting.start import data_spec
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.checking.check import check_data
from lossweep.trainers.data.recognising.known import tables
from lossweep.trainers.data.recognising.recognise import Asked, recognise

ALL = ("train", "val", "test")
VOC_PALETTE = [level for color in tables()["voc"].colors for level in color]  # type: ignore[union-attr]
DIVIDED = {"train": 0.7, "val": 0.15, "test": 0.15}


def voc(root: Path, listed: bool = True) -> None:
    base = root / "VOCdevkit/VOC2012"
    names = [f"2007_{number:06d}" for number in range(12)]
    for number, name in enumerate(names):
        noise(base / f"JPEGImages/{name}.jpg", number)
        write_mask(base / f"SegmentationClass/{name}.png", squares(number, range(21)), VOC_PALETTE)
    noise(base / "JPEGImages/unlisted.jpg", 99)
    if listed:
        (base / "ImageSets/Segmentation").mkdir(parents=True)
        (base / "ImageSets/Segmentation/train.txt").write_text("\n".join(names[:8]))
        (base / "ImageSets/Segmentation/val.txt").write_text("\n".join(names[8:]))


def cityscapes(root: Path) -> None:
    for split in ALL:
        for number in range(6):
            stem = f"{split}/ulm/ulm_{number:06d}_000019"
            noise(root / f"leftImg8bit/{stem}_leftImg8bit.png", number)
            values = [0, 7, 8, 11, 26, 33] if split != "test" else [0, 4]
            write_mask(root / f"gtFine/{stem}_gtFine_labelIds.png", squares(number, values))
            write_mask(root / f"gtFine/{stem}_gtFine_color.png", squares(number, [(0, 0, 0), (9, 9, 9)]))


def of_pairs(image: str, mask: str, values: Any, **more: Any) -> Callable[[Path], None]:
    return lambda root: pairs(root, image, mask, values, **more)


def unlabelled(root: Path) -> None:
    pairs(root, "images/{name}.png", "masks/{name}.png", [0, 1])
    noise(root / "images/without.png", 70)


def coco_splits(root: Path) -> None:
    coco(root, "annotations/instances_train2017.json", "train2017")
    coco(root, "annotations/instances_val2017.json", "val2017", count=3, first=20)
    coco(root, "annotations/captions_val2017.json", "val2017", count=3, first=20)
    (root / "annotations/captions_val2017.json").write_text('{"images": [], "annotations": []}')


def roboflow(root: Path) -> None:
    for split, first in (("train", 0), ("valid", 20), ("test", 40)):
        coco(root, f"{split}/_annotations.coco.json", split, count=4, first=first)


LAYOUTS: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "the folders that lossweep names": (
        of_pairs("{split}/images/{name}.jpg", "{split}/masks/{name}.png", [0, 1, 2, 255], splits=ALL),
        {"source": "folder", "classes": ["background", "class_1", "class_2"]},
    ),
    "other names, the split below them": (
        of_pairs(
            "img/{split}/{name}.png",
            "labels/{split}/{name}_lbl.png",
            [0, 255],
            splits=("training", "validation", "testing"),
        ),
        {
            "source": "folder",
            "layout": {
                "images": "img/{split}/{name}.*",
                "masks": "labels/{split}/{name}_lbl.*",
                "splits": {"train": "training", "val": "validation", "test": "testing"},
            },
            "classes": ["background", "foreground"],
            "colors": {"foreground": 255},
        },
    ),
    "SegNet's CamVid": (
        of_pairs("{split}/{name}.png", "{split}annot/{name}.png", [0, 1, 2], splits=ALL),
        {
            "source": "folder",
            "layout": {"images": "{split}/{name}.*", "masks": "{split}annot/{name}.*"},
            "classes": ["background", "class_1", "class_2"],
        },
    ),
    "training and test alone": (
        of_pairs("{split}/image/{name}.png", "{split}/mask/{name}.png", [0, 1], splits=("train", "test")),
        {
            "source": "folder",
            "layout": {"images": "{split}/image/{name}.*", "masks": "{split}/mask/{name}.*"},
            "classes": ["background", "foreground"],
            "from_train": {"val": 0.15, "seed": 0},
        },
    ),
    "two folders without splits": (
        of_pairs("images/{name}.jpg", "masks/{name}.png", [0, 1]),
        {"source": "folder", "classes": ["background", "foreground"], "split": {**DIVIDED, "seed": 0}},
    ),
    "images that have no mask": (
        unlabelled,
        {
            "source": "folder",
            "layout": {"images": "images/{name}.*", "masks": "masks/{name}.*", "unlabelled": "out"},
            "classes": ["background", "foreground"],
            "split": {**DIVIDED, "seed": 0},
        },
    ),
    "one folder, told apart by an end": (
        of_pairs("{name}.png", "{name}_mask.png", [0, 255]),
        {
            "source": "folder",
            "layout": {"images": "{name}.*", "masks": "{name}_mask.*"},
            "classes": ["background", "foreground"],
            "colors": {"foreground": 255},
            "split": {**DIVIDED, "seed": 0},
        },
    ),
    "one folder, two ends that say nothing": (
        of_pairs("{name}_x.png", "{name}_y.png", [0, 1]),
        {
            "source": "folder",
            "layout": {"images": "{name}_x.*", "masks": "{name}_y.*"},
            "classes": ["background", "foreground"],
            "split": {**DIVIDED, "seed": 0},
        },
    ),
    "one folder, two suffixes": (
        of_pairs("{name}.jpg", "{name}.png", [0, 1]),
        {
            "source": "folder",
            "layout": {"images": "{name}.jpg", "masks": "{name}.png"},
            "classes": ["background", "foreground"],
            "split": {**DIVIDED, "seed": 0},
        },
    ),
    "VOC with its lists": (
        voc,
        {
            "source": "folder",
            "layout": {
                "images": "VOCdevkit/VOC2012/JPEGImages/{name}.*",
                "masks": "VOCdevkit/VOC2012/SegmentationClass/{name}.*",
                "lists": "VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt",
            },
            "classes": list(tables()["voc"].classes),
            "from_train": {"test": 0.15, "seed": 0},
        },
    ),
    "Cityscapes": (
        cityscapes,
        {
            "source": "folder",
            "layout": {
                "images": "leftImg8bit/{split}/{name}_leftImg8bit.png",
                "masks": "gtFine/{split}/{name}_gtFine_labelIds.png",
                "splits": {"train": "train", "val": "val", "test": "no-test"},
            },
            "classes": ["road", "sidewalk", "building", "car", "bicycle"],
            "colors": {"road": 7, "sidewalk": 8, "building": 11, "car": 26, "bicycle": 33, "ignore": 0},
            "from_train": {"test": 0.15, "seed": 0},
        },
    ),
    "COCO": (
        coco_splits,
        {
            "source": "coco",
            "annotations": "annotations/instances_{split}.json",
            "images": "{split}",
            "splits": {"train": "train2017", "val": "val2017", "test": "test"},
            "classes": ["background", "ship", "buoy"],
            "from_train": {"test": 0.15, "seed": 0},
        },
    ),
    "COCO beside its images": (
        roboflow,
        {
            "source": "coco",
            "annotations": "{split}/_annotations.coco.json",
            "images": "{split}",
            "splits": {"train": "train", "val": "valid", "test": "test"},
            "classes": ["background", "ship", "buoy"],
        },
    ),
    "COCO in one file": (
        lambda root: coco(root, "labels.json", "pictures"),
        {
            "source": "coco",
            "annotations": "labels.json",
            "images": "pictures",
            "classes": ["background", "ship", "buoy"],
            "split": {**DIVIDED, "seed": 0},
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_and_what_is_written_of_it_can_be_read(tmp_path: Path, layout: str) -> None:
    build, expected = LAYOUTS[layout]
    root = tmp_path / "set"
    root.mkdir()
    build(root)
    found = recognise(root)
    assert found.data == expected
    spec = data_spec({**found.data, "root": str(root), "tile": 64}, tmp_path)
    report = check_data(spec, tmp_path / "cache")
    assert report.ok, "\n".join(map(str, report.problems))
    assert all(split.images for split in report.splits)


def test_series_of_images_stay_together(tmp_path: Path) -> None:
    pairs(
        tmp_path,
        "images/{name}.png",
        "masks/{name}.png",
        [0, 1],
        count=30,
        name=lambda number: f"flight{number // 3}_{number:04d}",
    )
    found = recognise(tmp_path)
    assert found.data["split"]["group"]
    assert any("10 series among 30 images" in remark for remark in found.remarks)


def test_a_division_shows_a_rare_class_in_every_split(tmp_path: Path) -> None:
    for number in range(20):
        noise(tmp_path / f"images/{number:02d}.png", number)
        rare = [0, 1, 2] if number in (3, 11, 17) else [0, 1]
        write_mask(tmp_path / f"masks/{number:02d}.png", squares(number, rare))
    found = recognise(tmp_path)
    spec = data_spec({**found.data, "root": str(tmp_path), "tile": 64}, tmp_path)
    report = check_data(spec, tmp_path.parent / "cache")
    assert [split.shown_in[2] for split in report.splits] == [1, 1, 1]


def test_what_sweeps_left_in_the_folder_is_no_data(tmp_path: Path) -> None:
    pairs(tmp_path, "{name}.png", "{name}_mask.png", [0, 1])
    before = recognise(tmp_path)
    noise(tmp_path / "runs/reports/overlay.png", 0)
    (tmp_path / "runs/lossweep.db").touch()
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert recognise(tmp_path) == before


def test_two_folders_of_masks_are_ambiguous_and_a_line_says_what_to_type(tmp_path: Path) -> None:
    pairs(tmp_path, "images/{name}.png", "masks/{name}.png", [0, 1])
    pairs(tmp_path, "images/{name}.png", "labels/{name}.png", [0, 1, 2])
    with pytest.raises(UserError) as raised:
        recognise(tmp_path)
    (problem,) = raised.value.problems
    assert "masks may be any of 2" in str(problem)
    assert "--masks 'labels/{name}.*', or --masks 'masks/{name}.*'" in str(problem)
    found = recognise(tmp_path, Asked(masks="labels/{name}.*"))
    assert found.data["classes"] == ["background", "class_1", "class_2"]


def test_what_a_person_types_is_taken_for_the_layout(tmp_path: Path) -> None:
    pairs(tmp_path, "a/{split}/{name}.png", "a/{split}/{name}.m.png", [0, 1], splits=("Train", "Valid"))
    found = recognise(tmp_path, Asked("a/{split}/{name}.png", "a/{split}/{name}.m.png"))
    assert found.data["layout"]["splits"] == {"train": "Train", "val": "Valid", "test": "test"}
    assert found.images == {"train": 8, "val": 8}
    with pytest.raises(UserError, match=r"images must hold .name. once"):
        recognise(tmp_path, Asked("a/x.png", "b/{name}.png"))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda root: None, "an empty folder"),
        (lambda root: noise(root / "pictures/a.png", 0), "1 .png in pictures/"),
        (lambda root: (root / "notes.bmp").write_text("x"), "1 .bmp in the folder"),
    ],
)
def test_nothing_recognised_is_one_line_with_what_was_found_and_an_example(
    tmp_path: Path, build: Callable[[Path], object], said: str
) -> None:
    build(tmp_path)
    with pytest.raises(UserError) as raised:
        recognise(tmp_path)
    (problem,) = raised.value.problems
    assert str(problem).startswith(f"{tmp_path}: no images with masks are recognised; found {said}")
    assert "--images 'photos/{name}.*'" in str(problem)


def test_two_families_of_annotations_are_ambiguous(tmp_path: Path) -> None:
    coco(tmp_path, "one.json", "pictures")
    coco(tmp_path, "two.json", "pictures")
    with pytest.raises(UserError, match=r"--masks 'one.json', or --masks 'two.json'"):
        recognise(tmp_path)
    assert recognise(tmp_path, Asked(masks="two.json")).data["annotations"] == "two.json"


def test_polygons_on_scenes(tmp_path: Path) -> None:
    transform = rasterio.transform.from_origin(500_000, 5_000_000, 1, 1)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (3, 512, 512), np.uint8)
        with rasterio.open(
            tmp_path / f"scene{number}.tif",
            "w",
            driver="GTiff",
            width=512,
            height=512,
            count=3,
            dtype="uint8",
            crs="EPSG:32632",
            transform=transform,
        ) as scene:
            scene.write(pixels)
        features = []
        for at in range(0, 480, 40):
            for kind, shift in (("ship", 0), ("buoy", 240)):
                west, north = 500_000 + at, 5_000_000 - (at + shift) % 480
                ring = [
                    [west, north],
                    [west + 20, north],
                    [west + 20, north - 20],
                    [west, north - 20],
                    [west, north],
                ]
                features.append(
                    {
                        "type": "Feature",
                        "properties": {"id": at, "kind": kind},
                        "geometry": {"type": "Polygon", "coordinates": [ring]},
                    }
                )
        crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
        collection = {"type": "FeatureCollection", "crs": crs, "features": features}
        (tmp_path / f"scene{number}.geojson").write_text(json.dumps(collection))
    found = recognise(tmp_path)
    assert found.kind == "GeoTIFF scenes with polygons as labels"
    assert found.data["source"] == "raster"
    assert found.data["class_field"] == "kind"
    assert found.data["classes"] == ["background", "buoy", "ship"]
    assert found.data["blocks"] == {"size": 128, "gap": 32}
    assert any("other attributes of the polygons: id" in remark for remark in found.remarks)
    spec = data_spec({**found.data, "root": str(tmp_path), "tile": 64}, tmp_path)
    report = check_data(spec, tmp_path.parent / "cache")
    assert report.ok, "\n".join(map(str, report.problems))
