"""Ends a trial before its first step whose loss cannot be learned by."""

from __future__ import annotations

import math

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.guards.rule import Evidence, NoMemory, Rehearsal, Rule


class RejectedSpec(Frozen):
    """The first phase's loss has no gradient on the initial model, or explodes.

    Attributes:
        least: of the gradient by the logits (`trainers.guards.rule.Rehearsal`). The last layer's bias sees it
            summed, and AdamW divides by the gradient plus 1e-8: under 1e-10 not even that bias gets a
            hundredth of its step.
        most: of the same. A loss of lossweep's own stays under a thousand, one that is summed over a batch's
            pixels instead of averaged under 1e8 (16 crops of 2048 x 2048): above 1e9 something was
            divided by almost nothing. Adam and clipping square gradients, which float32 holds up to 1e19.
    """

    least: float = Field(default=1e-10, ge=0.0)
    most: float = Field(default=1e9, gt=0.0)


class Rejected(Rule[RejectedSpec, NoMemory]):
    """Costs one forward pass instead of the epochs that would show the same.

    A later phase begins on a trained model: its loss is not looked at here.
    """

    spec_type = RejectedSpec
    place = 0
    name = "rejected"
    fires_when = (
        "before the first step, on a batch that shows foreground, the first phase's loss or its gradient by "
        "the initial model's logits is not finite, or that gradient is under `least` or above `most`"
    )

    def on_rehearsal(self, rehearsal: Rehearsal) -> Evidence | None:
        """See the loss on the initial model."""
        loss, gradient = rehearsal.loss, rehearsal.gradient
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            what = "the loss is not finite"
        elif gradient < self.spec.least:
            what = "the loss has no gradient"
        elif gradient > self.spec.most:
            what = "the loss explodes"
        else:
            return None
        figures = f"it is {loss:.4g} and its gradient by the logits {gradient:.3g}"
        return Evidence(
            f"{what} before any training: {figures}",
            {"loss": loss, "gradient": gradient},
        )
