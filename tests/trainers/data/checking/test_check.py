from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lossweep.trainers.data.checking.check import check_data, check_quick
from lossweep.trainers.data.checking.objects import object_areas, summarize
from lossweep.trainers.data.spec import FolderSource, ScenesSource

WritePair = Callable[[Path, str, np.ndarray, np.ndarray], None]


def test_the_figures_are_those_of_the_masks(folder_spec: FolderSource, tmp_path: Path) -> None:
    stages: dict[str, tuple[int, int]] = {}
    report = check_data(
        folder_spec, tmp_path, lambda stage, done, total: stages.update({stage: (done, total)})
    )
    assert report.ok
    train, val, test = report.splits
    assert (train.images, val.images, test.images) == (3, 2, 1)
    assert train.sizes == ((40, 48),)
    assert train.fractions == pytest.approx((1 - 100 / 1920, 100 / 1920))
    assert train.shown_in == (3, 3)
    assert train.objects[1].count == 3
    assert train.objects[1].percentiles == (100.0, 100.0, 100.0)
    assert train.objects[1].largest == 100
    assert train.ignored == 0.0
    assert report.weights(1.0) == pytest.approx((1.0, 18.2))
    assert report.weights(0.5) == pytest.approx((1.0, 18.2**0.5))
    assert all(done == total for done, total in stages.values())
    assert {"read", "decode", "objects of train"} <= set(stages)
    assert report.fingerprint.startswith("sha256:")


def test_object_areas_equal_labelling_class_by_class() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        mask = generator.choice(np.uint8([0, 1, 2, 255]), (30, 40), p=[0.6, 0.2, 0.15, 0.05])
        areas = object_areas(mask, 3)
        for index in (1, 2):
            labels, _ = ndimage.label(mask == index, np.ones((3, 3)))
            assert sorted(areas[index]) == sorted(np.bincount(labels.ravel())[1:])
        assert not len(areas[0])
    assert summarize([]).count == 0


def test_everything_suspicious_is_told_at_once(tmp_path: Path, write_pair: WritePair) -> None:
    root = tmp_path / "set"
    generator = np.random.default_rng(0)
    classes = ("ground", "car", "boat", "crane")

    def picture(bright: int = 0) -> np.ndarray:
        return generator.integers(bright, bright + 60, (64, 64), np.uint8)

    truth = np.zeros((64, 64), np.uint8)
    truth[4:8, 4:8], truth[20:40, 20:40], truth[50:52, 50:52] = 1, 2, 3
    shared = picture()
    write_pair(root / "train", "a", shared, truth)
    write_pair(root / "train", "b", picture(), truth)
    write_pair(root / "train", "c", picture(), np.zeros_like(truth))
    write_pair(root / "train", "d", picture(), np.full_like(truth, 255))
    crowded = np.zeros_like(truth)
    crowded[::8, ::4] = 1
    crowded[1::8] = 2
    write_pair(root / "val", "e", picture(150), crowded)
    write_pair(root / "test", "f", shared, truth)
    report = check_data(
        FolderSource(source="folder", root=str(root), tile=32, classes=classes), tmp_path / "cache"
    )
    assert report.ok
    told = "\n".join(report.suspicions)
    assert (
        "the same image is in train and test: the splits leak: train/images/a.png, test/images/f.png" in told
    )
    assert "val: class crane has no pixel" in told
    assert "val: class car covers 3.125% of the pixels, but 0.260% in train" in told
    assert "val: band 0 has the mean 179" in told
    assert "test: only 1 objects of class car" in told
    assert "train: 1 masks are wholly ignored: train/images/d.png" in told
    assert report.splits[0].empty == 2
    assert report.splits[0].ignored == 0.25


def test_a_class_absent_from_training_is_a_problem(folder_spec: FolderSource, tmp_path: Path) -> None:
    spec = folder_spec.model_copy(update={"classes": ("background", "foreground", "crane")})
    report = check_data(spec, tmp_path)
    assert [problem.message for problem in report.problems] == [
        "class 'crane' has no pixel in the training masks"
    ]
    assert report.problems[0].hint == "leave the class out, or put an image that shows it into train"
    assert report.weights(1.0)[2] == float("inf")


def test_figures_of_the_rest_stand_beside_the_problems(folder_spec: FolderSource, tmp_path: Path) -> None:
    (Path(folder_spec.root) / "train/masks/train0.png").write_bytes(b"")
    report = check_data(folder_spec, tmp_path)
    assert not report.ok
    assert report.splits[0].images == 2
    assert report.fingerprint == ""


def test_nothing_at_all_to_decode_is_still_a_report(folder_spec: FolderSource, tmp_path: Path) -> None:
    for path in Path(folder_spec.root).rglob("*.png"):
        path.write_bytes(b"x")
    report = check_data(folder_spec, tmp_path)
    assert len(report.problems) == 12
    assert len(report.lines()) >= 12
    assert not check_data(folder_spec.model_copy(update={"root": "/nowhere"}), tmp_path).ok


def test_no_test_split_is_noted(folder_spec: FolderSource, tmp_path: Path) -> None:
    for path in sorted((Path(folder_spec.root) / "test").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (Path(folder_spec.root) / "test").rmdir()
    report = check_data(folder_spec, tmp_path)
    assert report.ok
    assert any("no test split" in note for note in report.notes)


def test_the_quick_check_decodes_nothing(folder_spec: FolderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossweep.trainers.data.sources.folder.read_picture", None)
    assert check_quick(folder_spec).counts == {"train": 3, "val": 2, "test": 1}
    assert check_quick(ScenesSource(source="scenes", train=5)).counts["train"] == 5


def test_scenes_check_clean(tmp_path: Path) -> None:
    report = check_data(ScenesSource(source="scenes", train=48, val=16, test=8), tmp_path)
    assert report.ok
    assert not report.notes
    assert report.splits[0].objects[1].count > 56
