"""Ends a trial that had learned to rank pixels and lost it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.base_rate import base_rate
from lossweep.trainers.guards.rule import Evidence, Rule


class ApCollapseSpec(Frozen):
    """AP fell to a fraction of the trial's own best, and stays there.

    Attributes:
        share: of the best AP, at most this.
        learned: the best AP counts when it was at least this many times the base rate.
        minimum_positives: foreground pixels that the validation split must have; with fewer, AP is noise.
        warm_up: optimizer steps of the trial before it counts.
        patience: evaluations in a row.
    """

    share: float = Field(default=0.25, gt=0.0, lt=1.0)
    learned: float = Field(default=3.0, ge=1.0)
    minimum_positives: int = Field(default=200, ge=0)
    warm_up: int = Field(default=0, ge=0, description="steps of the trial")
    patience: int = Field(default=2, ge=1, description="evaluations in a row")


@dataclass(slots=True)
class ApCollapseState:
    """The trial's best AP so far, and evaluations in a row far under it."""

    best: float = 0.0
    streak: int = 0


class ApCollapse(Rule[ApCollapseSpec, ApCollapseState]):
    """AP is a fraction of the trial's own best. Silent when the validation split has too few positives."""

    spec_type = ApCollapseSpec
    state_type = ApCollapseState
    place = 4
    name = "ap_collapse"
    fires_when = "AP is at most `share` of the trial's best, which was at least `learned` base rates"

    def __init__(self, spec: ApCollapseSpec, prior: ClassPrior) -> None:
        super().__init__(spec, prior)
        self._base = base_rate(prior)

    def on_evaluation(self, evaluation: Evaluation, positives: int | None) -> Evidence | None:
        """See one evaluation; without a count of positives, there are taken to be enough."""
        spec, state, ap = self.spec, self.state, evaluation.metrics["ap"]
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
