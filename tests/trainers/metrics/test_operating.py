from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossweep.spaces.metric_names import is_metric, parametric_name
from lossweep.trainers.metrics.operating import (
    f_beta,
    point_at_precision,
    point_at_recall,
    precision_at_recall,
    recall_at_precision,
)

ratio = st.floats(0, 1)


@given(ratio, ratio, st.floats(1e-6, 1e6))
def test_f_beta_lies_between_precision_and_recall(precision: float, recall: float, beta: float) -> None:
    value = f_beta(precision, recall, beta)
    slack = 1e-12
    assert min(precision, recall) - slack <= value <= max(precision, recall) + slack


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.1, 10))
def test_f_beta_is_the_textbook_formula(precision: float, recall: float, beta: float) -> None:
    expected = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    assert math.isclose(f_beta(precision, recall, beta), expected, rel_tol=1e-12)


def test_a_large_beta_follows_recall_a_small_one_precision() -> None:
    assert f_beta(0.2, 0.9, 100) == pytest.approx(0.9, abs=1e-3)
    assert f_beta(0.2, 0.9, 0.01) == pytest.approx(0.2, abs=1e-3)
    assert f_beta(0.0, 0.0, 2) == 0.0


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_positive(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        f_beta(0.5, 0.5, beta)


def test_floors_on_a_curve() -> None:
    precisions, recalls = np.array([1.0, 0.6, 0.7, 0.2]), np.array([0.1, 0.3, 0.5, 1.0])
    assert recall_at_precision(precisions, recalls, 0.65) == 0.5
    assert recall_at_precision(precisions, recalls, 0.2) == 1.0
    assert precision_at_recall(precisions, recalls, 0.2) == 0.7
    assert precision_at_recall(precisions, recalls, 1.0) == 0.2


def test_a_floor_nobody_reaches_gives_zero() -> None:
    precisions, recalls = np.array([0.5]), np.array([0.5])
    assert recall_at_precision(precisions, recalls, 0.9) == 0.0
    assert precision_at_recall(precisions, recalls, 0.9) == 0.0
    assert recall_at_precision(np.array([]), np.array([]), 0.1) == 0.0


def test_of_equally_good_points_the_one_with_more_of_the_other_is_taken() -> None:
    precisions, recalls = np.array([1.0, 1.0, 1.0, 0.6, 0.5]), np.array([0.2, 0.6, 0.9, 0.9, 0.9])
    assert point_at_precision(precisions, recalls, 0.5) == 2
    assert point_at_recall(precisions, recalls, 0.1) == 2


def test_a_floor_nobody_reaches_has_no_point() -> None:
    assert point_at_precision(np.array([0.5]), np.array([1.0]), 0.9) is None
    assert point_at_recall(np.array([0.5]), np.array([0.5]), 0.9) is None
    assert point_at_recall(np.array([]), np.array([]), 0.9) is None


@pytest.mark.parametrize(("value", "text"), [(2.0, "fbeta_2"), (0.5, "fbeta_0.5"), (1e-5, "fbeta_0.00001")])
def test_names_are_those_an_objective_may_use(value: float, text: str) -> None:
    assert parametric_name("fbeta", value) == text
    assert is_metric(text)
