"""Ends a trial whose loss or gradient is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.guards.rule import Evidence, Rule, Step


class NonFiniteSpec(Frozen):
    """The loss or the gradient is infinite or NaN.

    Attributes:
        warm_up: optimizer steps of the trial before it counts.
        patience: steps in a row whose update was applied.
        skipped_patience: steps in a row that the float16 loss scaler skipped. Finding its scale takes
            up to 16 from PyTorch's initial 65,536.
    """

    warm_up: int = Field(default=0, ge=0, description="steps of the trial")
    patience: int = Field(
        default=1,
        ge=1,
        description="steps in a row; `skipped_patience` for steps that the float16 loss scaler skipped",
    )
    skipped_patience: int = Field(default=20, ge=1)


@dataclass(slots=True)
class NonFiniteState:
    """Steps in a row that were not finite: applied to the weights, and skipped by the loss scaler."""

    applied: int = 0
    skipped: int = 0


class NonFinite(Rule[NonFiniteSpec, NonFiniteState]):
    """Both are watched, as some losses stay finite while their gradient is NaN (focal with gamma under 1).

    Under float16 the loss scaler skips such steps and halves its scale, so that a few of them are its way of
    working.
    """

    spec_type = NonFiniteSpec
    state_type = NonFiniteState
    place = 1
    name = "non_finite"
    fires_when = "the loss or the gradient norm is infinite or NaN"

    def on_step(self, step: Step) -> Evidence | None:
        """See one optimizer step."""
        state, spec = self.state, self.spec
        if step.number <= spec.warm_up:
            return None
        bad = not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))
        state.applied = state.applied + 1 if bad and not step.skipped else 0
        state.skipped = state.skipped + 1 if bad and step.skipped else 0
        if state.applied < spec.patience and state.skipped < spec.skipped_patience:
            return None
        steps = state.applied or state.skipped
        what = "loss" if not math.isfinite(step.loss) else "gradient"
        how = " although the loss scaler skipped them" if step.skipped else ""
        return Evidence(
            f"the {what} is not finite: loss {step.loss:.4g}, gradient norm {step.gradient_norm:.4g}, "
            f"in {steps} step(s) in a row{how}",
            {"loss": step.loss, "gradient_norm": step.gradient_norm, "steps": float(steps)},
        )
