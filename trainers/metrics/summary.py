"""From counts, curves and objects to the metrics by name: of one class, and their mean over classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lossweep.spaces.metric_names import (
    CURVE,
    LOWER_IS_BETTER,
    OBJECT,
    PIXEL,
    TUNED,
    TUNED_OBJECT,
    parametric_name,
)
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.objects import ObjectCounts
from lossweep.trainers.metrics.operating import (
    f_beta,
    point_at_precision,
    point_at_recall,
    precision_at_recall,
    recall_at_precision,
)
from lossweep.trainers.plan import MeasureSpec

Figures = dict[str, float]
"""Metrics of one class by name. Those that say nothing, because the class does not occur, are left out."""


def pixel_figures(curve: ConfusionCurve, fixed: Counts, tuned: Counts, measure: MeasureSpec) -> Figures:
    """Return one class's pixel metrics: at the fixed point, at the tuned threshold, and of its curve."""
    figures: Figures = {}
    if not fixed.absent:
        figures |= dict(zip(PIXEL, _ratios(fixed), strict=True))
        for beta in measure.betas:
            figures[parametric_name("fbeta", beta)] = f_beta(fixed.precision, fixed.recall, beta)
    if not tuned.absent:
        figures |= dict(zip(TUNED, _ratios(tuned), strict=True))
    if curve.truth:
        figures |= dict(zip(CURVE, (curve.average_precision(), curve.best_f1()), strict=True))
        at = curve.precisions, curve.recalls
        for floor in measure.precision_floors:
            figures[parametric_name("recall_at_precision", floor)] = recall_at_precision(*at, floor)
        for floor in measure.recall_floors:
            figures[parametric_name("precision_at_recall", floor)] = precision_at_recall(*at, floor)
    return figures


def floor_thresholds(curve: ConfusionCurve, measure: MeasureSpec) -> Figures:
    """Return the logit threshold at which each of one class's floor metrics holds.

    Left out is a metric whose floor no threshold reaches, and all of a class that does not occur.
    """
    if not curve.truth:
        return {}
    at = curve.precisions, curve.recalls
    points = {
        parametric_name("recall_at_precision", floor): point_at_precision(*at, floor)
        for floor in measure.precision_floors
    } | {
        parametric_name("precision_at_recall", floor): point_at_recall(*at, floor)
        for floor in measure.recall_floors
    }
    return {name: curve.threshold_of(point) for name, point in points.items() if point is not None}


def object_figures(fixed: ObjectCounts, tuned: ObjectCounts) -> Figures:
    """Return one class's object metrics at the fixed point and at the tuned threshold."""
    figures: Figures = {}
    for found, names, error in zip((fixed, tuned), (OBJECT, TUNED_OBJECT), LOWER_IS_BETTER, strict=True):
        counts = found.counts
        if not counts.absent:
            figures |= dict(zip(names, (counts.precision, counts.recall, counts.f1), strict=True))
            figures[error] = found.count_error
    return figures


def metric_names(measure: MeasureSpec, objects: bool) -> tuple[str, ...]:
    """Return the names an evaluation gives, without those of single classes."""
    return (
        *(*PIXEL, *TUNED, *CURVE),
        *((*OBJECT, *TUNED_OBJECT, *LOWER_IS_BETTER) if objects else ()),
        *(parametric_name("fbeta", beta) for beta in measure.betas),
        *(parametric_name("recall_at_precision", floor) for floor in measure.precision_floors),
        *(parametric_name("precision_at_recall", floor) for floor in measure.recall_floors),
    )


def combined(classes: Sequence[str], figures: Sequence[Figures], names: Iterable[str]) -> Figures:
    """Return each metric's mean over the classes it says something of, and each class's own.

    Args:
        classes: names of the foreground classes.
        figures: of each of them.
        names: the metrics to give. One that no class has, is 0, so that every name always has a finite value.
    """
    metrics: Figures = {}
    for name in names:
        known = [each[name] for each in figures if name in each]
        metrics[name] = sum(known) / len(known) if known else 0.0
        if len(classes) > 1:
            metrics |= {f"{name}/{c}": each.get(name, 0.0) for c, each in zip(classes, figures, strict=True)}
    return metrics


def _ratios(counts: Counts) -> tuple[float, float, float, float]:
    return counts.precision, counts.recall, counts.f1, counts.iou
