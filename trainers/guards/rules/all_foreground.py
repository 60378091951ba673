"""Ends a trial that predicts everything as one foreground class."""

from __future__ import annotations

from pydantic import Field

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.base_rate import near
from lossweep.trainers.guards.collapse import Collapse, CollapseSpec
from lossweep.trainers.guards.rule import Evidence


class AllForegroundSpec(CollapseSpec):
    """Everything is predicted as one foreground class, and the pixels are ranked no better than chance.

    Attributes:
        recall: at the fixed operating point, at least this.
        rise: AP that rose by this share during the patience is still learning.
        warm_up: optimizer steps of the trial before it counts.
        patience: evaluations in a row.
    """

    recall: float = Field(default=0.99, gt=0.0, le=1.0)
    warm_up: int = Field(default=100, ge=0, description="steps of the trial")


class AllForeground(Collapse[AllForegroundSpec]):
    """A class's recall is near 1 and its precision near its base rate, confirmed by AP."""

    spec_type = AllForegroundSpec
    place = 2
    name = "all_foreground"
    fires_when = (
        "a class has `recall` or more, its precision is near its base rate, **and** AP is near the base rate "
        "and does not rise"
    )

    def __init__(self, spec: AllForegroundSpec, prior: ClassPrior) -> None:
        super().__init__(spec, prior)
        self._suffixed = {
            ("" if prior.is_binary else f"/{name}"): share
            for name, share in zip(prior.names[1:], prior.frequencies[1:], strict=True)
        }

    def _sign(self, evaluation: Evaluation) -> Evidence | None:
        for suffix, share in self._suffixed.items():
            recall, precision = (evaluation.metrics[f"{name}{suffix}"] for name in ("recall", "precision"))
            if recall >= self.spec.recall and near(precision, share, self.spec):
                of_class = f" of class {suffix[1:]}" if suffix else ""
                return Evidence(
                    f"everything is predicted as foreground: recall{of_class} {recall:.4g} "
                    f"at precision {precision:.4g}",
                    {"recall": recall, "precision": precision},
                )
        return None
