"""Sizes of objects are decided by the training masks, the same for every trial, split and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.loading import SegmentationData, load_data
from lossweep.trainers.data.specs.folder import FolderSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.measurement import evaluate_split
from lossweep.trainers.loop.object_sizes import check_sizes, size_thirds
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import MeasureSpec, TrialPlan

Plans = Callable[..., TrialPlan]


def areas_of(data: SegmentationData, connectivity: int = 8, least: int = 1) -> np.ndarray:
    structure = np.ones((3, 3)) if connectivity == 8 else None
    found: list[int] = []
    for mask in data.train.masks_of("train"):
        labels, _ = ndimage.label(mask == 1, structure)
        found += np.bincount(labels.ravel())[1:].tolist()
    return np.sort([area for area in found if area >= least])


@pytest.mark.parametrize(("connectivity", "least"), [(8, 1), (4, 1), (8, 30)])
def test_the_training_masks_decide(scenes: SegmentationData, connectivity: int, least: int) -> None:
    areas = areas_of(scenes, connectivity, least)
    measure = MeasureSpec(connectivity=connectivity, minimum_area=least)
    found = {split.name: size_thirds(split, scenes.prior, measure) for split in (scenes.train, scenes.val)}
    ((thirds,), again) = found.values()
    assert (thirds,) == again
    assert thirds is not None
    third = len(areas) / 3
    assert (thirds.small, thirds.middle) == (
        areas[int(np.ceil(third)) - 1],
        areas[int(np.ceil(2 * third)) - 1],
    )


def test_evaluations_say_where_small_objects_end(
    scenes: SegmentationData, plan_of: Plans, tmp_path: Path
) -> None:
    """And a phase may wait for one of their metrics; it is recorded, and measured again it is the same."""
    line = "cross_entropy @1e-2 until object_recall_small >= 0 in 1..2 -> jaccard @1e-3 x1"
    plan, store = plan_of(line, 3), CheckpointStore(tmp_path)
    *_, last = train(plan, scenes, store)
    (thirds,) = size_thirds(scenes.val, scenes.prior, plan.measure)
    assert thirds is not None
    assert last.object_sizes == {scenes.prior.names[1]: (thirds.small, thirds.middle)}
    assert Evaluation.from_dict(last.to_dict()) == last
    model = trained_model(plan, scenes, store, last.step)
    assert model is not None
    again = evaluate_split(model, scenes.val, scenes.prior, plan.measure, training=plan.training)
    by_size = {name: value for name, value in again.metrics.items() if "_recall_" in name}
    assert len(by_size) == 6
    assert by_size == {name: last.metrics[name] for name in by_size}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> SegmentationData:
    """Squares of 2, 4 and 8 pixels a side in training; on validation there are none of the small ones."""
    root = tmp_path_factory.mktemp("uneven")
    for split, sides in {"train": (2, 4, 8), "val": (4, 8, 8)}.items():
        mask = np.zeros((64, 64), np.uint8)
        for index, side in enumerate(sides):
            mask[20 * index : 20 * index + side, 5 : 5 + side] = 1
        for kind, pixels in (("images", np.repeat(mask[..., None] * 90, 3, 2)), ("masks", mask)):
            (root / split / kind).mkdir(parents=True)
            Image.fromarray(pixels).save(root / split / kind / "0.png")
    spec = FolderSource(source="folder", root=str(root), classes=("ground", "car"), tile=64)
    return load_data(spec, root / "cache")


def test_a_size_that_validation_lacks_is_told_before_training(uneven: SegmentationData) -> None:
    steered = ["tuned_object_recall_small/car", "ap", "object_recall_large"]
    with pytest.raises(UserError) as caught:
        check_sizes(steered, uneven.val, uneven.prior, MeasureSpec())
    (problem,) = caught.value.problems
    assert problem.message == "val has no small objects of car"
    assert problem.found == "tuned_object_recall_small/car"
    few = check_sizes(steered[1:], uneven.val, uneven.prior, MeasureSpec())
    assert few == ("object_recall_large: val has 2 large objects: one of them moves it by 0.5",)
    assert check_sizes(["ap", "my_module:own"], uneven.val, uneven.prior, MeasureSpec()) == ()
