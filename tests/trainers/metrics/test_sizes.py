"""Recall of small, middle and large objects, against definitions written out with numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.metrics import SIZES
from lossweep.trainers.metrics import Measured, Meter
from lossweep.trainers.metrics.objects import MAXIMUM_OBJECTS, TrueObjects
from lossweep.trainers.metrics.sizes import NO_SIZES, SizeThirds
from lossweep.trainers.plan import MeasureSpec

PRIOR = ClassPrior(names=("ground", "car", "ship"), frequencies=(0.8, 0.1, 0.1))
BINARY = ClassPrior(names=("ground", "car"), frequencies=(0.9, 0.1))
PLAIN = MeasureSpec()


def boxes(rng: np.random.Generator, classes: int, images: int = 6, size: int = 40) -> np.ndarray:
    masks = np.zeros((images, size, size), np.uint8)
    for mask in masks:
        for _ in range(rng.integers(0, 9)):
            top, left = rng.integers(0, size, 2)
            height, width = rng.integers(1, 9, 2)
            mask[top : top + height, left : left + width] = rng.integers(1, classes)
    masks[rng.random(masks.shape) < 0.01] = 255
    return masks


def disturbed(rng: np.random.Generator, masks: np.ndarray, classes: int) -> np.ndarray:
    """A prediction that moved by a pixel in some images, with specks."""
    moved = np.stack([np.roll(mask, rng.integers(0, 2), axis=0) for mask in masks])
    moved[moved == 255] = 0
    specks = rng.random(masks.shape) < 0.01
    moved[specks] = rng.integers(0, classes, specks.sum())
    return moved


def by_definition(
    masks: np.ndarray, called: np.ndarray, bounds: tuple[float, float], spec: MeasureSpec
) -> dict[str, list[bool]]:
    """Whether each true object is found, by its size."""
    structure = np.ones((3, 3)) if spec.connectivity == 8 else None
    found: dict[str, list[bool]] = {size: [] for size in SIZES}
    for truth, prediction in zip(masks, called, strict=True):
        known, is_class = truth != 255, truth == 1
        (t, true), (p, predicted) = ndimage.label(is_class, structure), ndimage.label(prediction, structure)
        for one in (t == i for i in range(1, true + 1)):
            if one.sum() < spec.minimum_area:
                continue
            others = [(p == j) & known for j in range(1, predicted + 1)]
            others = [other for other in others if other.sum() >= spec.minimum_area]
            hit = any((one & o).sum() > spec.object_iou * (one | o).sum() for o in others)
            size = "small" if one.sum() <= bounds[0] else "middle" if one.sum() <= bounds[1] else "large"
            found[size].append(hit)
    return found


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), max_size=30))
def test_thirds_are_as_even_as_equal_areas_let_them_be(areas: list[int]) -> None:
    thirds = SizeThirds.over([np.array(areas[:7], np.int64), np.array(areas[7:], np.int64)])
    if not areas:
        assert thirds is None
        return
    assert thirds is not None
    ordered = sorted(areas)
    # The definition: the least areas that a third, and two thirds, of the objects do not exceed.
    small = min(a for a in ordered if 3 * sum(b <= a for b in ordered) >= len(ordered))
    middle = min(a for a in ordered if 3 * sum(b <= a for b in ordered) >= 2 * len(ordered))
    assert (thirds.small, thirds.middle) == (small, middle)
    counts = thirds.counts(np.array(areas, np.int64), np.array(areas[:0], np.int64))
    assert sum(counts.true) == len(areas)
    if len(set(areas)) == len(areas):
        assert max(counts.true) - min(counts.true) <= 1


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([4, 8]), st.sampled_from([1, 4]))
def test_recall_by_size_is_the_definitions(seed: int, connectivity: int, area: int) -> None:
    rng = np.random.default_rng(seed)
    masks = boxes(rng, 2)
    called = disturbed(rng, masks, 2) == 1
    spec = MeasureSpec(connectivity=connectivity, minimum_area=area)
    thirds = SizeThirds(6, 20)
    meter = Meter(BINARY, spec, "cpu", thirds=[thirds])
    meter.update(torch.from_numpy(np.where(called, 1.0, -1.0))[:, None], torch.from_numpy(masks))
    measured = meter.compute(threshold=0.0)
    expected = by_definition(masks, called, (6, 20), spec)
    for size, hits in expected.items():
        for prefix in ("", "tuned_"):
            assert measured.metrics[f"{prefix}object_recall_{size}"] == pytest.approx(
                sum(hits) / max(len(hits), 1)
            )
    every = [hit for hits in expected.values() for hit in hits]
    assert measured.metrics["object_recall"] == pytest.approx(sum(every) / max(len(every), 1))
    assert measured.object_sizes == {"car": (6, 20)}


def of_three(masks: np.ndarray, called: np.ndarray, thirds: list[SizeThirds | None]) -> Measured:
    meter = Meter(PRIOR, PLAIN, "cpu", thirds=thirds)
    logits = 5.0 * torch.nn.functional.one_hot(torch.from_numpy(called).long(), 3).permute(0, 3, 1, 2)
    meter.update(logits.float(), torch.from_numpy(masks))
    return meter.compute()


def test_each_class_has_sizes_of_its_own() -> None:
    """A car of 4 pixels is large, a ship of 20 small."""
    masks = np.zeros((1, 32, 32), np.uint8)
    masks[0, 2:4, 2:4] = 1
    masks[0, 10:14, 10:15] = 2
    masks[0, 20:30, 20:30] = 2
    called = masks.copy()
    called[0, 10:14, 10:15] = 0
    metrics = of_three(masks, called, [SizeThirds(1, 2), SizeThirds(20, 50)]).metrics
    assert metrics["object_recall_large/car"] == 1.0
    assert metrics["object_recall_small/ship"] == 0.0
    assert metrics["object_recall_large/ship"] == 1.0
    # Of the small objects nothing is known but the ship's, and of the middle ones nothing at all.
    assert metrics["object_recall_small"] == 0.0
    assert metrics["object_recall_large"] == 1.0
    assert metrics["object_recall_middle"] == metrics["object_recall_middle/car"] == 0.0


def test_a_third_without_objects_is_left_out_of_the_mean() -> None:
    masks = np.zeros((1, 32, 32), np.uint8)
    masks[0, 2:4, 2:4] = 1
    masks[0, 20:30, 20:30] = 2
    metrics = of_three(masks, masks, [SizeThirds(4, 8), SizeThirds(20, 50)]).metrics
    assert metrics["object_recall_small"] == 1.0, "the ships' small third is empty, and no failure"
    assert metrics["object_recall_small/ship"] == 0.0


def test_a_class_without_thirds_says_nothing() -> None:
    rng = np.random.default_rng(1)
    masks = boxes(rng, 3)
    called = np.where(masks == 255, 0, masks)
    measured = of_three(masks, called, [SizeThirds(3, 9), None])
    assert measured.object_sizes == {"car": (3, 9)}
    for size in SIZES:
        assert measured.metrics[f"object_recall_{size}"] == measured.metrics[f"object_recall_{size}/car"]


def test_a_degenerate_prediction_finds_no_object_of_any_size() -> None:
    truth = np.zeros((256, 256), bool)
    truth[10:20, 10:20] = truth[40:42, 40:42] = True
    prediction = np.zeros((256, 256), bool)
    prediction[::2, ::2] = True
    found = TrueObjects.of(truth, None, PLAIN).compare(prediction, PLAIN, SizeThirds(4, 50))
    assert found.degenerate == 1
    assert found.counts.fp == MAXIMUM_OBJECTS
    assert (found.sizes.true, found.sizes.found) == ((1, 0, 1), (0, 0, 0))


def test_sizes_are_told_apart_only_when_asked_for() -> None:
    truth = np.ones((4, 4), bool)
    assert TrueObjects.of(truth, None, PLAIN).compare(truth, PLAIN).sizes is NO_SIZES
