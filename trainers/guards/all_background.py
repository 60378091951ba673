"""Ends a trial that predicts no foreground."""

from __future__ import annotations

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.collapse import Collapse
from lossweep.trainers.guards.rule import Evidence
from lossweep.trainers.guards.spec import AllBackgroundSpec


class AllBackground(Collapse):
    """Recall (the mean over foreground classes) is near 0, confirmed by AP."""

    name = "all_background"

    def __init__(self, spec: AllBackgroundSpec, prior: ClassPrior) -> None:
        super().__init__(spec, prior)
        self._spec = spec

    def _sign(self, evaluation: Evaluation) -> Evidence | None:
        recall = evaluation.metrics["recall"]
        if recall > self._spec.recall:
            return None
        return Evidence(f"everything is predicted as background: recall {recall:.4g}", {"recall": recall})
