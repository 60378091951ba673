"""The validation metrics, one record each: every list of metrics, every table of them, is derived from here.

Pixel figures are sums over the data set, macro-averaged over the foreground classes; ``NAME/CLASS`` is the
figure of one class. Figures at the fixed operating point (probability 0.5, or argmax) carry no prefix; those
at the threshold tuned on the validation split carry ``tuned_``. What computes a metric is found by its name
(`trainers.metrics.computing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Direction = Literal["maximize", "minimize"]
"""What is better, as Optuna spells it."""

Group = Literal["pixel", "tuned", "curve", "object", "tuned_object", "size", "tuned_size", "count", "own"]
"""What a metric is of: pixels or objects (all, or those of a size), at which threshold, the whole curve, or a
user's own function."""

Point = Literal["fixed", "tuned", "floor", "curve"]
"""The threshold it holds at: probability 0.5, the tuned one, its own (a floor's), or none: it is of all."""

View = Literal["table", "epoch", "progress", "timeline", "charts"]
"""Where it is shown: tables of trials, a line an epoch, the progress display, curves over training (the
report's, all of them; MLflow's, the chief ones)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The number in a metric's name.

    Attributes:
        symbol: what stands for it in a list of names.
        setting: the key under ``measure:`` that lists its values.
        words: what it is, for an error message.
        most: the highest it may be; it is above 0.
    """

    symbol: str
    setting: str
    words: str
    most: float = math.inf

    @property
    def allowed(self) -> str:
        """Its range in words."""
        return "above 0" if math.isinf(self.most) else f"above 0, at most {self.most:g}"

    def holds(self, value: float) -> bool:
        """Whether ``value`` is within its range."""
        return 0.0 < value <= self.most and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as evaluations spell it; of a family (one with a parameter) without the number.
        group: what it is of.
        point: the threshold it holds at.
        noun: what a person calls it, without what it is of and at which threshold.
        label: the same for the head of a narrow column.
        definition: its formula, in Markdown.
        direction: what is better.
        views: where it is shown.
        place: its place among the curves over training, from 1; 0 where it is not drawn.
        parameter: the number in its name, if it has one.
    """

    name: str
    group: Group
    point: Point
    noun: str
    label: str
    definition: str
    direction: Direction = "maximize"
    views: tuple[View, ...] = ()
    place: int = 0
    parameter: Parameter | None = None

    @property
    def of_objects(self) -> bool:
        """Whether it is of objects, which an evaluation may leave out."""
        return self.of_sizes or self.group in ("object", "tuned_object", "count")

    @property
    def of_sizes(self) -> bool:
        """Whether it is of objects of one size, which only some know to tell apart."""
        return self.group in ("size", "tuned_size")

    @property
    def spelling(self) -> str:
        """Its name as a list of names gives it: ``fbeta_B`` for a family."""
        return f"{self.name}_{self.parameter.symbol}" if self.parameter else self.name

    @property
    def words(self) -> str:
        """What a person calls it: ``object F1 (tuned threshold)``."""
        said = f"object {self.noun}" if self.of_objects and self.group != "count" else self.noun
        if self.parameter or self.group in ("curve", "own"):
            return said
        return said + (" (tuned threshold)" if self.point == "tuned" else " (at 0.5)")


_TUNED = "the same at the tuned threshold"
_COUNT = (
    "the sum over images of \\|predicted − true\\|, divided by the number of true objects "
    "(by 1 when there are none); may exceed 1"
)
_SIZE = "matched / true objects of one third by area, small, middle or large"

SIZES: Final = ("small", "middle", "large")
"""Thirds of the objects by their area, the smallest first."""

METRICS: Final[tuple[Metric, ...]] = (
    Metric("precision", "pixel", "fixed", "precision", "P", "TP / (TP + FP)",
           views=("table", "epoch", "progress", "timeline", "charts"), place=2),
    Metric("recall", "pixel", "fixed", "recall", "R", "TP / (TP + FN)",
           views=("table", "epoch", "progress", "timeline", "charts"), place=1),
    Metric("f1", "pixel", "fixed", "F1", "F1", "2 TP / (2 TP + FP + FN)",
           views=("table", "epoch", "progress", "timeline", "charts"), place=3),
    Metric("iou", "pixel", "fixed", "IoU", "IoU", "TP / (TP + FP + FN)"),
    Metric("tuned_precision", "tuned", "tuned", "precision", "P", _TUNED,
           views=("table", "timeline"), place=7),
    Metric("tuned_recall", "tuned", "tuned", "recall", "R", _TUNED,
           views=("table", "timeline"), place=6),
    Metric("tuned_f1", "tuned", "tuned", "F1", "F1", _TUNED,
           views=("table", "epoch", "timeline", "charts"), place=5),
    Metric("tuned_iou", "tuned", "tuned", "IoU", "IoU", _TUNED),
    Metric("ap", "curve", "curve", "AP", "AP",
           "average precision: the sum of (Rₙ − Rₙ₋₁) Pₙ over the distinct logits from the highest down, "
           "without interpolation (scikit-learn's definition)",
           views=("table", "epoch", "progress", "timeline", "charts"), place=4),
    Metric("max_f1", "curve", "tuned", "max F1", "max F1",
           "the highest F1 over all thresholds on the same split"),
    Metric("object_precision", "object", "fixed", "precision", "P", "matched / predicted objects"),
    Metric("object_recall", "object", "fixed", "recall", "R", "matched / true objects"),
    Metric("object_f1", "object", "fixed", "F1", "F1", "2 matched / (predicted + true)",
           views=("timeline", "charts"), place=8),
    Metric("tuned_object_precision", "tuned_object", "tuned", "precision", "P", _TUNED),
    Metric("tuned_object_recall", "tuned_object", "tuned", "recall", "R", _TUNED),
    Metric("tuned_object_f1", "tuned_object", "tuned", "F1", "F1", _TUNED,
           views=("table", "timeline"), place=9),
    *(Metric(f"object_recall_{size}", "size", "fixed", f"recall, {size}", f"R {size}", _SIZE)
      for size in SIZES),
    *(Metric(f"tuned_object_recall_{size}", "tuned_size", "tuned", f"recall, {size}", f"R {size}", _TUNED)
      for size in SIZES),
    Metric("count_error", "count", "fixed", "count error", "count error", _COUNT, "minimize"),
    Metric("tuned_count_error", "count", "tuned", "count error", "count error", _TUNED, "minimize"),
)  # fmt: skip
"""Every metric of a fixed name, in the order in which an evaluation gives them."""

FAMILIES: Final[tuple[Metric, ...]] = (
    Metric("fbeta", "pixel", "fixed", "fbeta", "F-beta",
           "(1 + B²) P R / (B² P + R), composed from precision and recall (van Rijsbergen, 1979); "
           "B > 1 favors recall",
           parameter=Parameter("B", "betas", "F-beta's beta")),
    Metric("recall_at_precision", "curve", "floor", "recall at precision", "R at P",
           "the highest recall of any threshold whose precision is at least P; 0 when none is",
           parameter=Parameter("P", "precision_floors", "the metric's floor", 1.0)),
    Metric("precision_at_recall", "curve", "floor", "precision at recall", "P at R",
           "the highest precision of any threshold whose recall is at least R; 0 when none is",
           parameter=Parameter("R", "recall_floors", "the metric's floor", 1.0)),
)  # fmt: skip
"""Metrics with a number in their name: ``fbeta_2``: F-beta at 0.5; ``recall_at_precision_0.2``: the highest
recall at a precision >= 0.2."""


def of_groups(*groups: Group) -> tuple[Metric, ...]:
    """Return the metrics of fixed name of these groups, group by group."""
    return tuple(metric for group in groups for metric in METRICS if metric.group == group)


def shown_in(view: View, *groups: Group) -> tuple[Metric, ...]:
    """Return what a view shows, as listed here; with groups, only those and one after the other."""
    return tuple(metric for metric in (of_groups(*groups) if groups else METRICS) if view in metric.views)


def over_training(view: View, *groups: Group) -> tuple[Metric, ...]:
    """Return what a view shows, in the order of the curves over training."""
    return tuple(sorted(shown_in(view, *groups), key=lambda metric: metric.place))
