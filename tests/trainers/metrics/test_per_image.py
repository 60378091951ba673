"""Counts of each image by itself, ignored pixels left out."""

from __future__ import annotations

import torch

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.trainers.metrics.meter import Meter
from lossweep.trainers.plan import MeasureSpec

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))


def test_what_is_predicted_on_ignored_pixels_is_no_alarm_of_its_image() -> None:
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    masks[:, 2:6, 2:6] = 1
    logits = torch.where(masks > 0, 4.0, -4.0)
    logits[:, 10:13, 10:13] = 4.0  # an alarm in the second image; in the first nobody knows
    masks[0, 9:14, 9:14] = IGNORE_INDEX
    meter = Meter(PRIOR, MeasureSpec(), "cpu")
    meter.update(logits.unsqueeze(1), masks)
    found = meter.compute(0.0, per_image=True)
    assert found.image_pixels == (((16, 0, 0),), ((16, 9, 0),))
    assert found.image_objects == (((1, 0, 0),), ((1, 1, 0),))
