"""Losses that ramp, before any training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.loop.first_look import rehearsed_losses
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.training import train
from lossweep.trainers.plan import TrainingSpec, TrialPlan

NUMERICS = Numerics.of(TrainingSpec(precision="float32"), "cpu")


@pytest.mark.parametrize("line", ["0..1*jaccard + 0..1*dice", "1..0*jaccard + 1..0*dice"])
def test_a_loss_that_begins_or_ends_with_no_weight_at_all_is_not_rejected(
    line: str, scenes: SegmentationData, plan_of: Callable[..., TrialPlan]
) -> None:
    evaluations = list(train(plan_of(f"{line} @1e-3 x1", 1), scenes))
    assert evaluations[-1].verdict is None
    assert evaluations[-1].finished


def test_losses_that_meet_half_way_are_not_alike(scenes: SegmentationData) -> None:
    line = "0.25..0.75*dice + cross_entropy @1e-3 x1 -> 0.5*dice + cross_entropy @1e-3 x1"
    ramped, plain = rehearsed_losses(LossSchedule.parse(line), scenes, NUMERICS)
    assert ramped.gradient == plain.gradient
    assert plain.sketch
    assert not ramped.sketch
