"""Ends a trial that had learned to rank pixels and lost it."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.base_rate import base_rate
from lossweep.trainers.guards.rule import Evidence, Rule
from lossweep.trainers.guards.spec import ApCollapseSpec


@dataclass(slots=True)
class ApCollapseState:
    """The trial's best AP so far, and evaluations in a row far under it."""

    best: float = 0.0
    streak: int = 0


class ApCollapse(Rule[ApCollapseState]):
    """AP is a fraction of the trial's own best. Silent when the validation split has too few positives."""

    name = "ap_collapse"

    def __init__(self, spec: ApCollapseSpec, prior: ClassPrior) -> None:
        super().__init__(ApCollapseState())
        self._spec = spec
        self._base = base_rate(prior)

    def on_evaluation(self, evaluation: Evaluation, positives: int | None) -> Evidence | None:
        """See one evaluation; without a count of positives, there are taken to be enough."""
        spec, state, ap = self._spec, self.state, evaluation.metrics["ap"]
        if positives is not None and positives < spec.minimum_positives:
            return None
        state.best = max(state.best, ap)
        learned = state.best >= spec.learned * self._base
        if evaluation.step < spec.warm_up or not learned or ap > spec.share * state.best:
            state.streak = 0
            return None
        state.streak += 1
        if state.streak < spec.patience:
            return None
        return Evidence(
            f"AP fell to {ap:.4g}, {ap / state.best:.0%} of its best {state.best:.4g}, "
            f"in {state.streak} evaluation(s) in a row",
            {"ap": ap, "best_ap": state.best, "base_rate": self._base, "evaluations": float(state.streak)},
        )
