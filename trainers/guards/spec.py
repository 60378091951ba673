"""Which guards watch a trial, with their thresholds, as plain data."""

from __future__ import annotations

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen


class NonFiniteSpec(Frozen):
    """The loss or the gradient is infinite or NaN.

    Attributes:
        warm_up: optimizer steps of the trial before it counts.
        patience: steps in a row whose update was applied.
        skipped_patience: steps in a row that the float16 loss scaler skipped. Finding its scale takes
            up to 16 from PyTorch's initial 65,536.
    """

    warm_up: int = Field(default=0, ge=0)
    patience: int = Field(default=1, ge=1)
    skipped_patience: int = Field(default=20, ge=1)


class NearBaseRate(Frozen):
    """When a precision or AP is no better than chance: near the share b of foreground pixels.

    That is ``value <= min(ratio * b, b + lift * (1 - b))``: the ratio speaks for rare classes, the lift for
    common ones.
    """

    ratio: float = Field(default=2.0, ge=1.0)
    lift: float = Field(default=0.05, ge=0.0, le=1.0)


class AllForegroundSpec(NearBaseRate):
    """Everything is predicted as one foreground class, and the pixels are ranked no better than chance.

    Attributes:
        recall: at the fixed operating point, at least this.
        rise: AP that rose by this share during the patience is still learning.
        warm_up: optimizer steps of the trial before it counts.
        patience: evaluations in a row.
    """

    recall: float = Field(default=0.99, gt=0.0, le=1.0)
    rise: float = Field(default=0.05, ge=0.0)
    warm_up: int = Field(default=100, ge=0)
    patience: int = Field(default=2, ge=1)


class AllBackgroundSpec(NearBaseRate):
    """No foreground is predicted, and the pixels are ranked no better than chance.

    Attributes:
        recall: at the fixed operating point, at most this.
        rise: AP that rose by this share during the patience is still learning.
        warm_up: optimizer steps of the trial before it counts; an honest loss may predict nothing for 200.
        patience: evaluations in a row.
    """

    recall: float = Field(default=0.001, ge=0.0, lt=1.0)
    rise: float = Field(default=0.05, ge=0.0)
    warm_up: int = Field(default=200, ge=0)
    patience: int = Field(default=2, ge=1)


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
    warm_up: int = Field(default=0, ge=0)
    patience: int = Field(default=2, ge=1)


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
    warm_up: int = Field(default=30, ge=5)
    patience: int = Field(default=20, ge=1)


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
    warm_up: int = Field(default=10, ge=0)
    patience: int = Field(default=20, ge=1)


class GuardSpec(Frozen):
    """Every guard with its thresholds; each may be switched off by giving null."""

    non_finite: NonFiniteSpec | None = NonFiniteSpec()
    all_foreground: AllForegroundSpec | None = AllForegroundSpec()
    all_background: AllBackgroundSpec | None = AllBackgroundSpec()
    ap_collapse: ApCollapseSpec | None = ApCollapseSpec()
    loss_spike: LossSpikeSpec | None = LossSpikeSpec()
    stuck_loss: StuckLossSpec | None = StuckLossSpec()
