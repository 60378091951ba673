"""The share of foreground pixels: the precision of predicting everything, and the AP of knowing nothing."""

from __future__ import annotations

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.guards.spec import NearBaseRate


def base_rate(prior: ClassPrior) -> float:
    """Return the mean share of the foreground classes, as metrics are a mean over them."""
    return prior.foreground / (len(prior.names) - 1)


def near(value: float, base: float, limits: NearBaseRate) -> bool:
    """Whether a precision or an AP is no better than chance."""
    return value <= min(limits.ratio * base, base + limits.lift * (1.0 - base))
