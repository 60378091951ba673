"""Where on its curve a trained model operates: at the threshold that its objective's score holds at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lossweep.spaces.metric_names import PARAMETRIC, metric_of
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import ObjectiveSpec


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold, and what it is the threshold of.

    Attributes:
        threshold: on logits; ``logit >= threshold`` is foreground.
        rule: what it was chosen by, as one line: the name of a floor metric, ``highest F1``, ...
    """

    threshold: float
    rule: str

    @property
    def probability(self) -> float:
        """The threshold as a probability, on which saturated losses leave it 0 or 1."""
        logit = self.threshold
        return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))


def held_out_metric(name: str) -> str:
    """Return which figure of the test split stands for a metric, so that nothing is tuned on the test split.

    A floor metric and the highest F1 of a curve would choose their threshold by the split they are read on.
    In their place stand recall, precision and F1 at the threshold that validation chose for them.
    """
    base, slash, one_class = name.partition("/")
    parametric = PARAMETRIC.fullmatch(base)
    kind = parametric["name"] if parametric else base
    stand_ins = {
        "recall_at_precision": "tuned_recall",
        "precision_at_recall": "tuned_precision",
        "max_f1": "tuned_f1",
    }
    return stand_ins.get(kind, base) + slash + one_class


def operating_point(objective: ObjectiveSpec, evaluation: Evaluation) -> OperatingPoint:
    """Return where a model operates for an objective: what is exported, trained with and drawn.

    It is the point of the curve that the leading metric holds at: probability 0.5 for one without a prefix,
    its own threshold for a floor metric, and the tuned one, of the highest F1, for all others. AP is of the
    whole curve and names no point; the next metric does, then the constraints' metrics. A floor that no
    threshold reaches has none, and the tuned one stands in. With several foreground classes the likeliest
    class is predicted: no threshold decides, and the first class's tuned one is only told.

    Args:
        objective: what the model was sought for.
        evaluation: the one its score was taken from.
    """
    if any("/" in name for name in evaluation.metrics):
        return OperatingPoint(evaluation.threshold, "the likeliest class")
    named = (*objective.names, *(constraint.metric for constraint in objective.constraints))
    points = {name: metric.point for name in named if (metric := metric_of(name)) is not None}
    name, point = next(((n, p) for n, p in points.items() if p != "curve"), ("", "tuned"))
    if point == "fixed":
        return OperatingPoint(0.0, "probability 0.5")
    if name in evaluation.floor_thresholds:
        return OperatingPoint(evaluation.floor_thresholds[name], name)
    rule = "highest F1"
    if point == "floor" and not evaluation.metrics.get(name):
        rule += f", as no threshold reaches the floor of {name}"
    return OperatingPoint(evaluation.threshold, rule)
