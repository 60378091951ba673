"""Ends a trial whose loss jumped within a phase and does not come back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.guards.rule import Evidence, Rule, Step

_MAD_TO_SIGMA = 1.4826  # of a normal distribution


class LossSpikeSpec(Frozen):
    """The loss jumped out of its own recent range within a phase, and stays there.

    Attributes:
        z: robust standard deviations (1.4826 MAD) above the window's median, more than this.
        rise: and more than this share of the median's magnitude.
        window: steps of the phase that the median is taken over.
        warm_up: steps of the phase before it counts.
        patience: steps in a row.
    """

    z: float = Field(default=7.0, gt=0.0)
    rise: float = Field(default=0.5, ge=0.0)
    window: int = Field(default=100, ge=5)
    warm_up: int = Field(default=30, ge=5, description="steps of the phase")
    patience: int = Field(default=20, ge=1, description="steps in a row")


@dataclass(slots=True)
class LossSpikeState:
    """The recent losses of this phase, without the spike, and steps in a row above them."""

    window: list[float] = field(default_factory=list)
    streak: int = 0


class LossSpike(Rule[LossSpikeSpec, LossSpikeState]):
    """Robust z of the loss over a window of the same phase: median and MAD, so that outliers don't count.

    Another phase has another loss on another scale, so that a switch starts a new window; and within a phase
    the loss is looked at with its ramps at their ends. Losses of a spike under way stay out of the window: it
    remembers where the loss came from.
    """

    spec_type = LossSpikeSpec
    state_type = LossSpikeState
    place = 6
    name = "loss_spike"
    fires_when = (
        "the loss is more than `z` robust standard deviations (1.4826 MAD) and more than `rise` of the "
        "median above the median of the phase's last `window` losses"
    )

    def phase_started(self) -> None:
        """Start a new window."""
        self.state = LossSpikeState()

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step; a loss that is not finite is another rule's business."""
        loss = step.comparable
        if not math.isfinite(loss):
            return None
        spec, state = self.spec, self.state
        # The window may be shorter than the warm-up; and losses that aren't finite are not in it.
        if step.in_phase > spec.warm_up and len(state.window) >= min(spec.warm_up, spec.window):
            middle = median(state.window)
            sigma = _MAD_TO_SIGMA * median(abs(each - middle) for each in state.window)
            excess = loss - middle
            if excess > max(spec.z * sigma, spec.rise * abs(middle)):
                state.streak += 1
                if state.streak < spec.patience:
                    return None
                z = excess / max(sigma, 1e-12)
                return Evidence(
                    f"the loss jumped from {middle:.4g} to {loss:.4g} within the phase "
                    f"(robust z {z:.3g}) and stayed for {state.streak} steps",
                    {"loss": loss, "median": middle, "z": z, "steps": float(state.streak)},
                )
        state.streak = 0
        state.window = [*state.window, loss][-spec.window :]
        return None
