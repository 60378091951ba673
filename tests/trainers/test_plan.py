"""What a trial is told, and which settings are accepted."""

from __future__ import annotations

from typing import Any

import pytest

from lossweep.trainers.plan import MeasureSpec, TrainingSpec
from tests.ranges import check_range

TRAINING = {
    "batch": "[1, )",
    "weight_decay": "[0.0, )",
    "momentum": "[0.0, 1.0)",
    "clip_norm": "(0.0, )",
    "accumulate": "[1, )",
    "evaluate_every": "[1, )",
    "threads": "[1, )",
}


@pytest.mark.parametrize("key", TRAINING)
def test_a_setting_is_accepted_within_its_range(key: str) -> None:
    check_range(lambda value: TrainingSpec.model_validate({key: value}), TRAINING[key])


def test_what_is_measured_is_accepted_within_its_range() -> None:
    check_range(lambda value: MeasureSpec(object_iou=value), "[0.5, 1.0)")
    check_range(lambda value: MeasureSpec(minimum_area=value), "[1, )")
    check_range(lambda value: MeasureSpec(precision_floors=(value,)), "(0.0, 1.0]")
    check_range(lambda value: MeasureSpec(recall_floors=(value,)), "(0.0, 1.0]")
    check_range(lambda value: MeasureSpec(betas=(value,)), "(0.0, )")


def test_a_plan_is_halved_down_to_one_image_a_pass(plan_of: Any) -> None:
    plan = plan_of("dice @1e-3 x3", 5, training=TrainingSpec(batch=7))
    assert (plan.epochs, plan.images_a_pass) == (5, 7)
    passes = []
    while plan is not None:
        passes.append(plan.images_a_pass)
        assert plan.training.batch == 7, "the effective batch stays"
        plan = plan.halved()
    assert passes == [7, 3, 1]
