"""Metric names: read in any spelling, held as evaluations spell them, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lossweep.spaces.metric_names import (
    FIXED_NAMES,
    PARAMETRIC,
    MetricName,
    canonical_metric,
    is_metric,
    parametric_name,
)
from lossweep.spaces.proposing.space_spec import UntilSpace
from lossweep.spaces.schedules.schedule import LossSchedule, Until


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("recall", "recall"),
        ("f1/big car", "f1/big car"),
        ("fbeta_2.0", "fbeta_2"),
        ("fbeta_10", "fbeta_10"),
        ("fbeta_0.50/car", "fbeta_0.5/car"),
        ("recall_at_precision_0.20", "recall_at_precision_0.2"),
        ("recall_at_precision_1.0", "recall_at_precision_1"),
        ("precision_at_recall_00.9", "precision_at_recall_0.9"),
    ],
)
def test_a_name_is_held_as_evaluations_spell_it(written: str, held: str) -> None:
    assert canonical_metric(written) == held
    assert canonical_metric(held) == held
    assert is_metric(written)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recal", "unknown metric"),
        ("fbeta", "unknown metric"),
        ("recall_at_precision_-0.2", "unknown metric"),
        ("recall_at_precision_0", "floor is out of range"),
        ("recall_at_precision_1.01", "floor is out of range"),
        ("precision_at_recall_0.0/car", "floor is out of range"),
        ("precision_at_recall_90", "floor is out of range"),
        ("fbeta_0", "beta is out of range"),
        ("fbeta_" + "9" * 400, "beta is out of range"),
    ],
)
def test_what_no_evaluation_could_hold_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        canonical_metric(name)
    assert not is_metric(name)
    with pytest.raises(ValueError, match=message):
        TypeAdapter(MetricName).validate_python(name)


@settings(max_examples=60)
@given(st.floats(1e-12, 1e12))
def test_a_parameter_is_written_in_decimals_that_read_back_exactly(value: float) -> None:
    name = parametric_name("fbeta", value)
    assert name == f"fbeta_{np.format_float_positional(value, trim='-')}"
    found = PARAMETRIC.fullmatch(name)
    assert found is not None
    assert float(found["value"]) == value
    assert canonical_metric(name) == name


def test_every_fixed_name_is_its_own() -> None:
    assert all(canonical_metric(name) == name for name in FIXED_NAMES)


def test_schedules_that_wait_for_the_same_metric_are_equal() -> None:
    line = "jaccard @1e-3 until {}>=0.5 in 1..3 -> dice @1e-4 x2"
    one, other = (
        LossSchedule.parse(line.format(name))
        for name in ("recall_at_precision_0.20", "recall_at_precision_0.2")
    )
    assert one == other
    assert one.key == other.key
    assert one.metrics == {"recall_at_precision_0.2"}


def test_until_is_read_in_any_spelling() -> None:
    until = Until.model_validate({"metric": "fbeta_2.0", "at_least": 0.5, "epochs": [1, 2]})
    assert until.metric == "fbeta_2"
    space = {"metric": {"choice": ["fbeta_2.0", "recall", "fbeta_2"]}, "at_least": 0.5}
    read = UntilSpace.model_validate(space)
    assert read.model_dump()["metric"]["choice"] == ("fbeta_2", "recall")
    assert UntilSpace.model_validate({"metric": "fbeta_2.0", "at_least": 0.5}).metric == "fbeta_2"
    with pytest.raises(ValueError, match="floor is out of range"):
        UntilSpace.model_validate(
            {"metric": {"choice": ["recall", "recall_at_precision_2"]}, "at_least": 0.5}
        )
