"""Floors that are asked for on the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confirmed_sweeps import sweep
from small_sweeps import spec, workspace

from lossweep.search.exporting.operating import AskedPoint, asked_point, best_at, floor_metric
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.evaluation import Evaluation


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("precision>=0.3", "recall_at_precision_0.3"),
        (" recall >= .90 ", "precision_at_recall_0.9"),
        ("precision>=1", "recall_at_precision_1"),
    ],
)
def test_a_floor_is_a_metric(asked: str, name: str) -> None:
    assert floor_metric(asked) == name


@pytest.mark.parametrize(
    "asked", ["precision>0.3", "f1>=0.3", "precision>=0", "recall>=1.5", "precision>=", ""]
)
def test_what_is_no_floor_is_said(asked: str) -> None:
    with pytest.raises(UserError, match="--at: not an operating point") as raised:
        floor_metric(asked)
    assert len(raised.value.problems) == 1


def test_a_floor_that_was_measured_needs_no_checkpoint(tmp_path: object) -> None:
    trial = sweep().trials[1]
    name = "recall_at_precision_0.3"
    known = _knowing(trial.evaluations[-1], name, -0.7, 0.8)
    point = asked_point(name, replace(trial, evaluations=(known,)), spec(), workspace(tmp_path))  # type: ignore[arg-type]
    assert point == AskedPoint(-0.7, name, 0.8, {})


def test_of_a_front_the_best_at_the_floor_is_taken(tmp_path: object) -> None:
    name = "recall_at_precision_0.3"
    front = [
        replace(trial, evaluations=(_knowing(trial.evaluations[-1], name, float(trial.number), recall),))
        for trial, recall in zip(sweep().trials, (0.5, 0.9, 0.7), strict=True)
    ]
    best, point = best_at(name, front, spec(), workspace(tmp_path))  # type: ignore[arg-type]
    assert (best.number, point.threshold, point.value) == (1, 1.0, 0.9)


def _knowing(evaluation: Evaluation, name: str, threshold: float, value: float) -> Evaluation:
    metrics = {**evaluation.metrics, name: value}
    return replace(evaluation, metrics=metrics, floor_thresholds={name: threshold})


def test_with_several_classes_no_threshold_decides(tmp_path: object) -> None:
    several = spec(data={"source": "folder", "root": "x", "classes": ["background", "a", "b"]})
    with pytest.raises(UserError, match="no threshold decides"):
        asked_point("recall_at_precision_0.3", sweep().trials[1], several, workspace(tmp_path))  # type: ignore[arg-type]
