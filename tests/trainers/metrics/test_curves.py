from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lossweep.spaces.metric_names import parametric_name
from lossweep.trainers.metrics.computing import Counted
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.logit_scale import BINS, LARGEST, LOWEST_KEY, keys
from lossweep.trainers.metrics.summary import class_figures, floor_thresholds
from lossweep.trainers.plan import MeasureSpec


def curve(logits: np.ndarray, truth: np.ndarray) -> ConfusionCurve:
    bins = keys(torch.from_numpy(np.asarray(logits, dtype=np.float32))).long().numpy() - LOWEST_KEY
    return ConfusionCurve(
        np.bincount(bins[truth], minlength=BINS).astype(np.int64),
        np.bincount(bins[~truth], minlength=BINS).astype(np.int64),
    )


@st.composite
def scored_pixels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Half-precision logits of any spread and their truth, with at least one positive."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 200))
    truth = rng.random(size) < draw(st.sampled_from([0.02, 0.3, 0.9]))
    truth[0] = True
    spread = draw(st.sampled_from([1e-4, 1.0, 80.0]))
    logits = rng.normal(size=size) * spread + truth * draw(st.sampled_from([0.0, 1.0, 3.0])) * spread
    if draw(st.booleans()):
        logits = np.round(logits / spread) * spread  # ties
    return logits.astype(np.float16).astype(np.float64), truth


@settings(max_examples=60)
@given(scored_pixels())
def test_average_precision_is_scikit_learns(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    logits, truth = pixels
    assert curve(logits, truth).average_precision() == pytest.approx(
        average_precision_score(truth, logits), abs=1e-12
    )


@settings(max_examples=60)
@given(scored_pixels())
def test_the_best_f1_is_that_of_the_best_of_all_thresholds(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    logits, truth = pixels
    pixel_curve = curve(logits, truth)
    best = 0.0
    for threshold in np.unique(logits):
        called = logits >= threshold
        best = max(best, 2 * (called & truth).sum() / (called.sum() + truth.sum()))
        counts = pixel_curve.at(float(threshold))
        assert counts == Counts(
            int((called & truth).sum()), int((called & ~truth).sum()), int((~called & truth).sum())
        )
    assert pixel_curve.best_f1() == pytest.approx(best, abs=1e-15)
    assert pixel_curve.at(pixel_curve.best_threshold()).f1 == pytest.approx(best, abs=1e-15)


@settings(max_examples=30)
@given(scored_pixels())
def test_the_ranking_alone_decides(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    """A monotone map of the logits (here by 4, exact in half precision) changes no figure of the curve."""
    logits, truth = pixels
    one, other = curve(logits, truth), curve(logits * 4, truth)
    assert one.average_precision() == other.average_precision()
    assert one.best_f1() == other.best_f1()


def test_precision_and_recall_run_from_the_highest_logit_down() -> None:
    pixel_curve = curve(np.array([3.0, 2.0, 1.0, -1.0]), np.array([True, False, True, False]))
    assert pixel_curve.recalls.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert pixel_curve.precisions.tolist() == [1.0, 0.5, 2 / 3, 0.5]


def test_the_tuned_threshold_lies_midway_between_what_it_parts() -> None:
    pixel_curve = curve(np.array([10.0, 12.0, -10.0, -30.0]), np.array([True, True, False, False]))
    assert pixel_curve.best_threshold() == 0.0
    assert pixel_curve.best_f1() == 1.0


def test_neighbouring_logits_are_parted_without_taking_the_lower() -> None:
    low, high = 1.0, float(np.nextafter(np.float16(1.0), np.float16(2.0)))
    pixel_curve = curve(np.array([high, low]), np.array([True, False]))
    assert low < pixel_curve.best_threshold() < high
    assert pixel_curve.at(pixel_curve.best_threshold()) == Counts(1, 0, 0)


@pytest.mark.parametrize("level", [-4.6, 0.0, 31.0])
def test_logits_that_were_not_rounded_fall_on_the_same_side(level: float) -> None:
    """A model that has hardly trained tells its pixels apart by less than the bins of its logits do."""
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.2
    logits = (level + 0.01 * (rng.normal(size=2000) + truth)).astype(np.float32)
    pixel_curve = curve(logits, truth)
    called = logits >= pixel_curve.best_threshold()
    counted = pixel_curve.at(pixel_curve.best_threshold())
    assert ((called & truth).sum(), (called & ~truth).sum()) == (counted.tp, counted.fp)


def test_a_class_that_does_not_occur_is_best_not_predicted() -> None:
    pixel_curve = curve(np.array([1.0, 2.0]), np.array([False, False]))
    assert (pixel_curve.average_precision(), pixel_curve.best_f1()) == (0.0, 0.0)
    assert pixel_curve.best_threshold() == LARGEST
    assert pixel_curve.at(LARGEST).absent


def test_no_pixel_at_all() -> None:
    nothing = ConfusionCurve(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))
    assert (nothing.average_precision(), nothing.best_f1(), nothing.at(0.0)) == (0.0, 0.0, Counts())


@settings(max_examples=60)
@given(scored_pixels(), st.floats(0.05, 1.0))
def test_floor_metrics_hold_at_their_thresholds(pixels: tuple[np.ndarray, np.ndarray], floor: float) -> None:
    logits, truth = pixels
    pixel_curve = curve(logits, truth)
    measure = MeasureSpec(precision_floors=(floor,), recall_floors=(floor,))
    counts = pixel_curve.at(0.0)
    figures = class_figures(Counted(pixel_curve, counts, counts), measure)
    thresholds = floor_thresholds(pixel_curve, measure)
    sought = parametric_name("recall_at_precision", floor)
    at_all = [pixel_curve.at(float(threshold)) for threshold in np.unique(logits)]
    reached = [each.recall for each in at_all if each.precision >= floor]
    assert figures[sought] == max(reached, default=0.0)
    assert (sought in thresholds) == bool(reached)
    if reached:
        taken = pixel_curve.at(thresholds[sought])
        assert (taken.recall, taken.precision >= floor) == (figures[sought], True)
        assert taken.precision == max(e.precision for e in at_all if e.recall == taken.recall)
    found = parametric_name("precision_at_recall", floor)
    taken = pixel_curve.at(thresholds[found])
    assert taken.precision == figures[found] == max(e.precision for e in at_all if e.recall >= floor)
    assert taken.recall == max(e.recall for e in at_all if e.precision == taken.precision)


def test_a_class_that_does_not_occur_has_no_floor_thresholds() -> None:
    empty = curve(np.array([1.0, -1.0]), np.array([False, False]))
    assert floor_thresholds(empty, MeasureSpec(precision_floors=(0.5,), recall_floors=(0.5,))) == {}
