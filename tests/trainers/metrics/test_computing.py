"""Each metric's record has a function that computes it, and what it computes is within its range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.metric_names import metric_of
from lossweep.spaces.metrics import FAMILIES, METRICS, Metric
from lossweep.trainers.metrics.computing import COMPUTED, Counted, computed, computes
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.logit_scale import BINS
from lossweep.trainers.metrics.objects import ObjectCounts
from lossweep.trainers.metrics.sizes import SizeCounts
from lossweep.trainers.metrics.summary import class_figures, metric_names
from lossweep.trainers.plan import MeasureSpec

EVERY = (*METRICS, *FAMILIES)
MEASURE = MeasureSpec(betas=(0.5, 2.0), precision_floors=(0.2, 1.0), recall_floors=(0.9,))
counts = st.builds(Counts, *[st.integers(0, 1000)] * 3)
sizes = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=3).map(
    lambda pairs: SizeCounts(*zip(*[(max(pair), min(pair)) for pair in pairs], strict=True))  # type: ignore[arg-type]
)
objects = st.builds(ObjectCounts, counts, st.integers(0, 3000), st.integers(0, 2), sizes)


@st.composite
def curves(draw: st.DrawFn) -> ConfusionCurve:
    positives, negatives = np.zeros((2, BINS), dtype=np.int64)
    for histogram in (positives, negatives):
        for place in draw(st.lists(st.integers(0, BINS - 1), max_size=6)):
            histogram[place] += draw(st.integers(1, 50))
    return ConfusionCurve(positives, negatives)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_every_metric_is_computed(metric: Metric) -> None:
    assert metric.name in COMPUTED, f"nothing computes {metric.name}"


def test_nothing_is_computed_that_has_no_record_or_is_computed_already() -> None:
    with pytest.raises(ValueError, match="specificity is no metric"):
        computes("specificity")(len)
    with pytest.raises(ValueError, match="recall is computed twice"):
        computes("recall")(len)
    assert COMPUTED.keys() == {metric.name for metric in EVERY}


@settings(max_examples=60)
@given(curves(), counts, counts, objects, objects)
def test_figures_are_within_their_range(
    curve: ConfusionCurve, fixed: Counts, tuned: Counts, few: ObjectCounts, many: ObjectCounts
) -> None:
    figures = class_figures(Counted(curve, fixed, tuned, few, many), MEASURE)
    assert set(figures) <= set(metric_names(MEASURE, objects=True))
    for name, value in figures.items():
        metric = metric_of(name)
        assert metric is not None
        assert math.isfinite(value)
        assert value >= 0.0
        assert value <= 1.0 or metric.direction == "minimize"


@settings(max_examples=30)
@given(curves(), counts, counts)
def test_a_figure_is_left_out_exactly_where_it_says_nothing(
    curve: ConfusionCurve, fixed: Counts, tuned: Counts
) -> None:
    figures = class_figures(Counted(curve, fixed, tuned), MEASURE)
    due = {
        metric.name
        for metric in METRICS
        if (metric.group == "pixel" and not fixed.absent)
        or (metric.group == "tuned" and not tuned.absent)
        or (metric.group == "curve" and curve.truth)
    }
    assert {name for name in figures if name in {metric.name for metric in METRICS}} == due


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_perfect_prediction_is_the_best_there_is(metric: Metric) -> None:
    positives, negatives = np.zeros((2, BINS), dtype=np.int64)
    positives[-1], negatives[0] = 5, 7
    perfect = Counts(5, 0, 0)
    found = ObjectCounts(perfect, 0, 0, SizeCounts((3, 1, 1), (3, 1, 1)))
    counted = Counted(ConfusionCurve(positives, negatives), perfect, perfect, found, found)
    assert computed(metric, counted) == (1.0 if metric.direction == "maximize" else 0.0)
