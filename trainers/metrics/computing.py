"""How each metric of `spaces.metrics` is computed from what was counted of one class, by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lossweep.spaces.metrics import FAMILIES, METRICS, SIZES, Metric
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.objects import ObjectCounts
from lossweep.trainers.metrics.operating import f_beta, precision_at_recall, recall_at_precision


@dataclass(frozen=True, slots=True)
class Counted:
    """What an evaluation counted of one class.

    Attributes:
        curve: pixels at every threshold.
        fixed: pixels at the fixed operating point.
        tuned: pixels at the tuned threshold.
        fixed_objects: objects at the fixed operating point; None when objects were left out.
        tuned_objects: objects at the tuned threshold, likewise.
    """

    curve: ConfusionCurve
    fixed: Counts
    tuned: Counts
    fixed_objects: ObjectCounts | None = None
    tuned_objects: ObjectCounts | None = None

    def part(self, metric: Metric) -> ConfusionCurve | Counts | ObjectCounts | None:
        """Return what a metric is computed from."""
        if metric.group == "curve":
            return self.curve
        at_fixed_point = metric.point == "fixed"
        if metric.of_objects:
            return self.fixed_objects if at_fixed_point else self.tuned_objects
        return self.fixed if at_fixed_point else self.tuned


Compute = Callable[..., float | None]
"""Called with `Counted.part` and, for a family, the number in the metric's name. None says nothing."""

COMPUTED: dict[str, Compute] = {}
"""What computes each metric, by the name of its record."""


def computes(*names: str) -> Callable[[Compute], Compute]:
    """Have a function compute the metrics of these names.

    Raises:
        ValueError: there is no record of that name, or something computes it already.
    """
    known = {metric.name for metric in (*METRICS, *FAMILIES)}

    def register(function: Compute) -> Compute:
        for name in names:
            if name not in known or name in COMPUTED:
                raise ValueError(f"{name} is {'computed twice' if name in known else 'no metric'}")
            COMPUTED[name] = function
        return function

    return register


def computed(metric: Metric, counted: Counted, *parameter: float) -> float | None:
    """Return one class's figure, or None where it says nothing, because the class does not occur."""
    part = counted.part(metric)
    return None if part is None or part.absent else COMPUTED[metric.name](part, *parameter)


@computes("precision", "tuned_precision")
def _precision(counts: Counts) -> float:
    return counts.precision


@computes("recall", "tuned_recall")
def _recall(counts: Counts) -> float:
    return counts.recall


@computes("f1", "tuned_f1")
def _f1(counts: Counts) -> float:
    return counts.f1


@computes("iou", "tuned_iou")
def _iou(counts: Counts) -> float:
    return counts.iou


@computes("fbeta")
def _f_beta(counts: Counts, beta: float) -> float:
    return f_beta(counts.precision, counts.recall, beta)


@computes("ap")
def _average_precision(curve: ConfusionCurve) -> float:
    return curve.average_precision()


@computes("max_f1")
def _best_f1(curve: ConfusionCurve) -> float:
    return curve.best_f1()


@computes("recall_at_precision")
def _recall_at_precision(curve: ConfusionCurve, floor: float) -> float:
    return recall_at_precision(curve.precisions, curve.recalls, floor)


@computes("precision_at_recall")
def _precision_at_recall(curve: ConfusionCurve, floor: float) -> float:
    return precision_at_recall(curve.precisions, curve.recalls, floor)


@computes("object_precision", "tuned_object_precision")
def _object_precision(found: ObjectCounts) -> float:
    return found.counts.precision


@computes("object_recall", "tuned_object_recall")
def _object_recall(found: ObjectCounts) -> float:
    return found.counts.recall


@computes("object_f1", "tuned_object_f1")
def _object_f1(found: ObjectCounts) -> float:
    return found.counts.f1


for _size in SIZES:
    computes(f"object_recall_{_size}", f"tuned_object_recall_{_size}")(
        lambda found, size=_size: found.sizes.recall(size)
    )


@computes("count_error", "tuned_count_error")
def _count_error(found: ObjectCounts) -> float:
    return found.count_error
