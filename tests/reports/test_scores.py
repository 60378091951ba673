"""Reports of metrics that say what is not so: absent classes, ignored pixels, one threshold for all."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.metrics import Measured, Meter
from lossweep.trainers.plan import MeasureSpec


def measured(prior: ClassPrior, logits: Tensor, masks: Tensor) -> Measured:
    meter = Meter(prior, MeasureSpec(), "cpu")
    meter.update(logits, masks)
    return meter.compute()


def certain(masks: Tensor, classes: int) -> Tensor:
    """Logits that are right about every pixel."""
    return 10.0 * torch.nn.functional.one_hot(masks, classes).permute(0, 3, 1, 2).float()


@pytest.fixture
def masks() -> Tensor:
    masks = torch.zeros(2, 8, 8, dtype=torch.int64)
    masks[0, 1:4, 1:4] = 1
    return masks


def test_a_class_that_does_not_occur_lifts_no_mean(three: ClassPrior, masks: Tensor) -> None:
    logits = certain(masks, 3)
    logits[:, 1, :2] = -20.0  # a part of the cars is missed
    metrics = measured(three, logits, masks)
    assert metrics.absent == ("ship",)
    assert metrics.metrics["f1"] == metrics.metrics["f1/car"] < 1.0


def test_a_class_that_does_not_occur_makes_no_figure_nan(three: ClassPrior, masks: Tensor) -> None:
    figures = measured(three, certain(masks, 3), masks).metrics
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["iou"] == 1.0


def test_an_image_without_objects_that_is_left_empty_costs_no_score(two: ClassPrior, masks: Tensor) -> None:
    logits = certain(masks, 2)[:, 1:] - 5.0
    assert measured(two, logits, masks).metrics["f1"] == 1.0
    assert masks[1].max() == 0


def test_pixels_of_255_are_counted_nowhere(two: ClassPrior, masks: Tensor) -> None:
    logits = certain(masks, 2)[:, 1:] - 5.0
    ignored = masks.clone()
    ignored[:, 5:] = 255
    wrong = logits.clone()
    wrong[:, :, 5:] = 9.0
    assert measured(two, wrong, ignored).metrics["precision"] == 1.0
    assert measured(two, wrong, masks).metrics["precision"] < 0.5


def test_background_is_in_no_mean(three: ClassPrior, masks: Tensor) -> None:
    masks[1, 5:7, 5:7] = 2
    logits = certain(masks, 3)
    logits[:, 2] = -20.0  # no ship is found
    figures = measured(three, logits, masks).metrics
    assert figures["recall"] == (figures["recall/car"] + figures["recall/ship"]) / 2 == 0.5
    assert "recall/background" not in figures


def test_a_model_that_never_reaches_one_half_is_scored_at_its_own_threshold(
    two: ClassPrior, masks: Tensor
) -> None:
    logits = certain(masks, 2)[:, 1:] - 20.0
    found = measured(two, logits, masks)
    assert found.metrics["f1"] == 0.0
    assert found.metrics["tuned_f1"] == found.metrics["ap"] == 1.0
    assert found.threshold < 0
