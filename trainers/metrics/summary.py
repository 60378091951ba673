"""From counts, curves and objects to the metrics by name: of one class, and their mean over classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lossweep.spaces.metric_names import parametric_name
from lossweep.spaces.metrics import FAMILIES, METRICS, Metric
from lossweep.trainers.metrics.computing import Counted, computed
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.operating import point_at_precision, point_at_recall
from lossweep.trainers.plan import MeasureSpec

Figures = dict[str, float]
"""Metrics of one class by name. Those that say nothing, because the class does not occur, are left out."""


def class_figures(counted: Counted, measure: MeasureSpec) -> Figures:
    """Return one class's metrics: of pixels, of the curve, and of objects where they were counted."""
    figures = {metric.name: computed(metric, counted) for metric in METRICS}
    figures |= {name: computed(family, counted, value) for family, value, name in _parametric(measure)}
    return {name: figure for name, figure in figures.items() if figure is not None}


def floor_thresholds(curve: ConfusionCurve, measure: MeasureSpec) -> Figures:
    """Return the logit threshold at which each of one class's floor metrics holds.

    Left out is a metric whose floor no threshold reaches, and all of a class that does not occur.
    """
    if curve.absent:
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


def class_metric_names(measure: MeasureSpec, objects: bool, sizes: bool = True) -> tuple[str, ...]:
    """Return the names of what is measured class by class; see `metric_names`.

    Args:
        measure: what is measured beyond the fixed metrics.
        objects: whether images are looked at for objects.
        sizes: whether it is known which objects are small.
    """
    return (
        *(
            metric.name
            for metric in METRICS
            if (objects or not metric.of_objects) and (sizes or not metric.of_sizes)
        ),
        *(name for _, _, name in _parametric(measure)),
    )


def metric_names(measure: MeasureSpec, objects: bool) -> tuple[str, ...]:
    """Return the names an evaluation gives, without those of single classes.

    Args:
        measure: what is measured beyond the fixed metrics.
        objects: whether images are looked at: for objects, and by a user's own metrics.
    """
    return (*class_metric_names(measure, objects), *(measure.own if objects else ()))


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


def _parametric(measure: MeasureSpec) -> Iterator[tuple[Metric, float, str]]:
    """Yield each family's record with each number it is measured for, and the name of that metric."""
    for family in FAMILIES:
        if family.parameter is not None:
            for value in getattr(measure, family.parameter.setting):
                yield family, value, parametric_name(family.name, value)
