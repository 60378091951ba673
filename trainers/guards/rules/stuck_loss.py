"""Ends a trial whose region loss is stuck at its ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.guards.rule import Evidence, Rule, Step


class StuckLossSpec(Frozen):
    """A region loss is at its ceiling with no gradient left to come down by.

    Attributes:
        level: the loss is at least this.
        gradient_norm: and the gradient's norm under this.
        warm_up: steps of the phase before it counts.
        patience: steps in a row.
    """

    level: float = Field(default=0.999, gt=0.0)
    gradient_norm: float = Field(default=1e-6, gt=0.0)
    warm_up: int = Field(default=10, ge=0, description="steps of the phase")
    patience: int = Field(default=20, ge=1, description="steps in a row")


@dataclass(slots=True)
class StuckLossState:
    """Steps in a row at the ceiling."""

    streak: int = 0


class StuckLoss(Rule[StuckLossSpec, StuckLossState]):
    """Jaccard, Dice and Tversky at 1 with a vanished gradient: no error, and nothing is learned any more."""

    spec_type = StuckLossSpec
    state_type = StuckLossState
    place = 5
    name = "stuck_loss"
    fires_when = "the loss is at least `level` and the gradient norm under `gradient_norm`"

    def phase_started(self) -> None:
        """Count anew: the next loss may have a gradient."""
        self.state = StuckLossState()

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step."""
        spec = self.spec
        stuck = step.loss >= spec.level and step.gradient_norm < spec.gradient_norm
        if step.in_phase <= spec.warm_up or not stuck:
            self.state.streak = 0
            return None
        self.state.streak += 1
        if self.state.streak < spec.patience:
            return None
        return Evidence(
            f"the loss is stuck at {step.loss:.6g} with gradient norm {step.gradient_norm:.3g} "
            f"for {self.state.streak} steps",
            {"loss": step.loss, "gradient_norm": step.gradient_norm, "steps": float(self.state.streak)},
        )
