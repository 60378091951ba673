"""Ends a trial that predicts no foreground."""

from __future__ import annotations

from pydantic import Field

from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.collapse import Collapse, CollapseSpec
from lossweep.trainers.guards.rule import Evidence


class AllBackgroundSpec(CollapseSpec):
    """No foreground is predicted, and the pixels are ranked no better than chance.

    Attributes:
        recall: at the fixed operating point, at most this.
        rise: AP that rose by this share during the patience is still learning.
        warm_up: optimizer steps of the trial before it counts; an honest loss may predict nothing for 200.
        patience: evaluations in a row.
    """

    recall: float = Field(default=0.001, ge=0.0, lt=1.0)
    warm_up: int = Field(default=200, ge=0, description="steps of the trial")


class AllBackground(Collapse[AllBackgroundSpec]):
    """Recall (the mean over foreground classes) is near 0, confirmed by AP."""

    spec_type = AllBackgroundSpec
    place = 3
    name = "all_background"
    fires_when = "recall is at most `recall`, **and** AP is near the base rate and does not rise"

    def _sign(self, evaluation: Evaluation) -> Evidence | None:
        recall = evaluation.metrics["recall"]
        if recall > self.spec.recall:
            return None
        return Evidence(f"everything is predicted as background: recall {recall:.4g}", {"recall": recall})
