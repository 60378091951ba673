"""An objective operates at the threshold that its score holds at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lossweep.search.conducting.plans import measuring
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.metrics import Meter
from lossweep.trainers.plan import MeasureSpec
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from lossweep.trainers.scoring.operating_points import OperatingPoint, operating_point
from tests.search.sweeps import evaluation

FLOOR = "recall_at_precision_0.2"
SEEN = replace(
    evaluation(1, 0.5, **{FLOOR: 0.9, "precision_at_recall_0.5": 0.8}),
    threshold=1.5,
    floor_thresholds={FLOOR: -3.0, "precision_at_recall_0.5": 4.0},
)
TUNED = OperatingPoint(1.5, "highest F1")
FIXED = OperatingPoint(0.0, "probability 0.5")


@pytest.mark.parametrize(
    ("objective", "point"),
    [
        ({"use_case": "needle"}, OperatingPoint(-3.0, FLOOR)),
        ({"use_case": "no_false_alarms"}, OperatingPoint(4.0, "precision_at_recall_0.5")),
        ({"use_case": "counting"}, TUNED),
        ({"use_case": "balanced"}, TUNED),
        ({"metric": "max_f1"}, TUNED),
        ({"metric": "tuned_recall"}, TUNED),
        ({"metric": "ap"}, TUNED),
        ({"metric": "fbeta_2"}, FIXED),
        ({"metric": "recall"}, FIXED),
        ({"metric": "object_f1"}, FIXED),
        ({"metric": "count_error"}, FIXED),
        ({"metrics": ["ap", FLOOR]}, OperatingPoint(-3.0, FLOOR)),
        ({"metrics": [FLOOR, "precision"]}, OperatingPoint(-3.0, FLOOR)),
        ({"metric": "ap", "constraints": [{"metric": "precision", "at_least": 0.3}]}, FIXED),
        ({"metric": "tuned_f1", "constraints": [{"metric": "precision", "at_least": 0.3}]}, TUNED),
    ],
)
def test_where_an_objective_operates(objective: dict[str, Any], point: OperatingPoint) -> None:
    assert operating_point(ObjectiveSpec.model_validate(objective), SEEN) == point


def test_a_floor_that_no_threshold_reaches_is_said_and_the_tuned_one_stands_in() -> None:
    unreached = replace(SEEN, metrics={**SEEN.metrics, FLOOR: 0.0}, floor_thresholds={})
    point = operating_point(ObjectiveSpec(use_case="needle"), unreached)
    assert point == OperatingPoint(1.5, f"highest F1, as no threshold reaches the floor of {FLOOR}")


def test_an_evaluation_that_never_told_the_threshold_operates_at_the_tuned_one() -> None:
    old = Evaluation.from_dict({k: v for k, v in SEEN.to_dict().items() if k != "floor_thresholds"})
    assert operating_point(ObjectiveSpec(use_case="needle"), old) == TUNED


@pytest.mark.parametrize("metric", ["recall", FLOOR, f"{FLOOR}/car", "tuned_f1"])
def test_with_several_classes_the_likeliest_is_predicted(metric: str) -> None:
    several = replace(SEEN, metrics={**SEEN.metrics, "ap/car": 0.5}, floor_thresholds={f"{FLOOR}/car": -3.0})
    assert operating_point(ObjectiveSpec(metric=metric), several) == OperatingPoint(
        1.5, "the likeliest class"
    )


@pytest.mark.parametrize(
    ("objective", "scored"),
    [
        ({"use_case": "needle", "floor": 0.3}, "tuned_recall"),
        ({"use_case": "no_false_alarms", "floor": 0.9}, "tuned_precision"),
        ({"use_case": "balanced"}, "tuned_f1"),
        ({"metric": "recall"}, "tuned_recall"),
        ({"metric": "object_f1"}, "tuned_object_f1"),
    ],
)
def test_the_score_holds_at_the_operating_point(objective: dict[str, Any], scored: str) -> None:
    """Measured with the real meter: a model that operates there has the figure that it was chosen for."""
    spec = ObjectiveSpec.model_validate(objective)
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(3, 32, 32, generator=generator) < 0.2).long()
    logits = (2.0 * masks + torch.randn(3, 32, 32, generator=generator) - 1.5)[:, None]
    meter = Meter(
        ClassPrior(names=("ground", "car"), frequencies=(0.8, 0.2)),
        measuring(MeasureSpec(), spec.watched),
        "cpu",
    )
    meter.update(logits, masks)
    found = meter.compute()
    seen = replace(
        SEEN, metrics=found.metrics, threshold=found.threshold, floor_thresholds=found.floor_thresholds
    )
    point = operating_point(spec, seen)
    at_it = meter.compute(threshold=point.threshold)
    assert at_it.metrics[scored] == found.metrics[spec.names[0]] > 0
