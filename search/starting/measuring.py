"""The pace of a trial on this machine: a few steps and a part of an evaluation, timed."""

from __future__ import annotations

import time
from typing import Final

from lossweep.search.conducting.plans import template_of
from lossweep.search.starting.budget import Pace
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData

_SECONDS: Final = 4.0
_LONG_S: Final = 15.0
"""An evaluation that is likely to take longer is estimated rather than timed."""
_FORWARD: Final = 0.8
"""Of the seconds that training on as many pixels takes: the estimate of an evaluation."""


def measured(spec: SweepSpec, data: SegmentationData) -> Pace:
    """Time a trial's training and its evaluation.

    Args:
        spec: the sweep, whatever its budget.
        data: its data.

    Raises:
        OutOfMemory: the model doesn't fit the GPU with this batch.
        LossweepError: a guard ended the training.
    """
    from lossweep.trainers.loop.measurement import evaluate_split
    from lossweep.trainers.models import build_model
    from lossweep.trainers.pace import pace

    plan = template_of(spec).plan(0, spec.seed, LossSchedule.parse("cross_entropy @1e-4 x1"))
    rate, _ = pace(plan, data, 1.0, _SECONDS, time.perf_counter)
    pixels = sum(height * width for height, width in data.val.sizes)
    estimate = _FORWARD * pixels / (rate * data.val.tile**2)
    if estimate > _LONG_S:
        return Pace(rate, estimate)
    model = build_model(
        spec.model.model_copy(update={"weights": None}), data.prior, data.channels, spec.seed, spec.data.tile
    )
    evaluate_split(model, data.val, data.prior, plan.measure, training=plan.training)  # what is labelled once
    began = time.perf_counter()
    evaluate_split(model, data.val, data.prior, plan.measure, training=plan.training)
    return Pace(rate, time.perf_counter() - began)
