"""Ends a trial whose loss jumped within a phase and does not come back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from lossweep.trainers.guards.rule import Evidence, Rule, Step
from lossweep.trainers.guards.spec import LossSpikeSpec

_MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(slots=True)
class LossSpikeState:
    """The recent losses of this phase, without the spike, and steps in a row above them."""

    window: list[float] = field(default_factory=list)
    streak: int = 0


class LossSpike(Rule[LossSpikeState]):
    """Robust z of the loss over a window of the same phase: median and MAD, so that outliers don't count.

    Another phase has another loss on another scale, so that a switch starts a new window. Losses of a spike
    under way stay out of the window: it remembers where the loss came from.
    """

    name = "loss_spike"

    def __init__(self, spec: LossSpikeSpec) -> None:
        super().__init__(LossSpikeState())
        self._spec = spec

    def phase_started(self) -> None:
        """Start a new window."""
        self.state = LossSpikeState()

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step; a loss that is not finite is another rule's business."""
        if not math.isfinite(step.loss):
            return None
        spec, state = self._spec, self.state
        if len(state.window) >= min(spec.warm_up, spec.window):
            middle = median(state.window)
            sigma = _MAD_TO_SIGMA * median(abs(loss - middle) for loss in state.window)
            excess = step.loss - middle
            if excess > max(spec.z * sigma, spec.rise * abs(middle)):
                state.streak += 1
                if state.streak < spec.patience:
                    return None
                z = excess / max(sigma, 1e-12)
                return Evidence(
                    f"the loss jumped from {middle:.4g} to {step.loss:.4g} within the phase "
                    f"(robust z {z:.3g}) and stayed for {state.streak} steps",
                    {"loss": step.loss, "median": middle, "z": z, "steps": float(state.streak)},
                )
        state.streak = 0
        state.window = [*state.window, step.loss][-spec.window :]
        return None
