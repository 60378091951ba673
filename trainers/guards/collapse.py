"""What both collapses share: a sign at the operating point, confirmed by a ranking no better than chance."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

from pydantic import Field

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.base_rate import NearBaseRate, base_rate, near
from lossweep.trainers.guards.rule import Evidence, Rule


class CollapseSpec(NearBaseRate):
    """The pixels are ranked no better than chance, and recall at the fixed operating point shows it.

    Attributes:
        recall: at the fixed operating point.
        rise: AP that rose by this share during the patience is still learning.
        warm_up: optimizer steps of the trial before it counts.
        patience: evaluations in a row.
    """

    recall: float
    rise: float = Field(default=0.05, ge=0.0)
    warm_up: int
    patience: int = Field(default=2, ge=1, description="evaluations in a row")


SpecT = TypeVar("SpecT", bound=CollapseSpec)


@dataclass(slots=True)
class CollapseState:
    """Evaluations in a row that showed the collapse, and the AP of the first of them."""

    streak: int = 0
    first_ap: float = 0.0


class Collapse(Rule[SpecT, CollapseState]):
    """Fires when the sign is seen ``patience`` times in a row while AP stays near the base rate.

    The sign alone would end honest trials: strongly weighted cross-entropy predicts far too much and ranks
    well, focal loss predicts nothing at 0.5 for long and ranks well.
    """

    state_type = CollapseState

    def __init__(self, spec: SpecT, prior: ClassPrior) -> None:
        super().__init__(spec, prior)
        self._base = base_rate(prior)

    @abstractmethod
    def _sign(self, evaluation: Evaluation) -> Evidence | None:
        """Return what was seen at the operating point, when it looks collapsed."""

    def on_evaluation(self, evaluation: Evaluation, positives: int | None) -> Evidence | None:
        """See one evaluation."""
        if evaluation.step < self.spec.warm_up:
            return None
        sign, ap = self._sign(evaluation), evaluation.metrics["ap"]
        if sign is None or not near(ap, self._base, self.spec):
            self.state = CollapseState()
            return None
        if self.state.streak == 0:
            self.state.first_ap = ap
        self.state.streak += 1
        if self.state.streak < self.spec.patience:
            return None
        if ap > self.state.first_ap * (1.0 + self.spec.rise):  # still learning: watch on from here
            self.state = CollapseState(streak=1, first_ap=ap)
            return None
        return Evidence(
            f"{sign.message}, and AP {ap:.4g} is no better than chance ({self._base:.4g}) "
            f"in {self.state.streak} evaluation(s) in a row",
            {**sign.figures, "ap": ap, "base_rate": self._base, "evaluations": float(self.state.streak)},
        )
