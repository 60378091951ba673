"""A trained model read on the test split, at thresholds that validation chose."""

from __future__ import annotations

from torch import nn

from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.evaluation import Evaluation, HeldOutScore
from lossweep.trainers.loop.measurement import Measurer
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from lossweep.trainers.scoring.operating_points import held_out_metric, operating_point


def held_out_score(
    objective: ObjectiveSpec,
    scored: Evaluation,
    model: nn.Module,
    data: SegmentationData,
    measurer: Measurer,
) -> HeldOutScore:
    """Read the test split.

    Args:
        objective: what is scored, and so where the model operates.
        scored: the evaluation whose weights ``model`` has.
        model: trained; it is moved to the device.
        data: with the validation and the test split.
        measurer: of the trial.
    """
    thresholds: tuple[float, ...] = (operating_point(objective, scored).threshold,)
    if not data.prior.is_binary:
        # An evaluation keeps the first class's threshold alone; validation is measured again for the others'.
        found = measurer.measured(model, data.val)
        lead = objective.names[0]
        thresholds = tuple(
            found.floor_thresholds.get(f"{lead}/{name}", tuned)
            for name, tuned in zip(data.prior.names[1:], found.thresholds, strict=True)
        )
    test = measurer.measured(model, data.test, thresholds, per_image=True)
    name = held_out_metric(objective.names[0])
    return HeldOutScore(
        score=test.metrics[name],
        metric=name,
        metrics=dict(test.metrics),
        thresholds=thresholds,
        step=scored.step,
        pixels=test.image_pixels,
        objects=test.image_objects,
    )
