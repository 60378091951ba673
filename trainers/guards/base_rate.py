"""The share of foreground pixels: the precision of predicting everything, and the AP of knowing nothing."""

from __future__ import annotations

from pydantic import Field

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Frozen


class NearBaseRate(Frozen):
    """When a precision or AP is no better than chance: near the share b of foreground pixels.

    That is ``value <= min(ratio * b, b + lift * (1 - b))``: the ratio speaks for rare classes, the lift for
    common ones.
    """

    ratio: float = Field(default=2.0, ge=1.0)
    lift: float = Field(default=0.05, ge=0.0, le=1.0)


def base_rate(prior: ClassPrior) -> float:
    """Return the mean share of the foreground classes, as metrics are a mean over them."""
    return prior.foreground / (len(prior.names) - 1)


def near(value: float, base: float, limits: NearBaseRate) -> bool:
    """Whether a precision or an AP is no better than chance."""
    return value <= min(limits.ratio * base, base + limits.lift * (1.0 - base))
