"""Ends a trial whose region loss is stuck at its ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from lossweep.trainers.guards.rule import Evidence, Rule, Step
from lossweep.trainers.guards.spec import StuckLossSpec


@dataclass(slots=True)
class StuckLossState:
    """Steps in a row at the ceiling."""

    streak: int = 0


class StuckLoss(Rule[StuckLossState]):
    """Jaccard, Dice and Tversky at 1 with a vanished gradient: no error, and nothing is learned any more."""

    name = "stuck_loss"

    def __init__(self, spec: StuckLossSpec) -> None:
        super().__init__(StuckLossState())
        self._spec = spec

    def phase_started(self) -> None:
        """Count anew: the next loss may have a gradient."""
        self.state = StuckLossState()

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step."""
        spec = self._spec
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
