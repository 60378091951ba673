"""Jaccard, Dice and Tversky distances: one kernel over true intersections."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.regions import Dice, FocalTversky, Jaccard, Tversky
from lossweep.spaces.losses.ramp import fixed
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term, ratio

NUDGE: Final = 1e-6
"""Added under focal Tversky's power: its slope at a distance of 0 is finite also for gamma < 1."""


class RegionTerm(Term):
    """Tversky distance ``(a FP + b FN) / (TP + a FP + b FN + s)`` (Salehi et al., 2017, eq. 3), to a power.

    a = b = 1 is the Jaccard distance, a = b = 1/2 the Dice distance (whose customary smoothing, added to 2
    TP, is 2 s). TP, FP and FN are sums of probability: TP + FN is the number of the class's pixels. Written
    with the errors in the numerator, the distance lies in [0, 1] and loses no digits near 0.

    Classes: two classes have the foreground's distance, more have the mean over all, background included. A
    class absent from the masks counts too: its distance is a FP / (a FP + s), 0 when nothing is predicted,
    and false positives have a gradient. That holds for empty tiles alike.

    Reduction: ``batch`` takes one ratio of sums over all images, ``image`` the mean of one ratio an image
    over the images with at least one labelled pixel.
    """

    needs = Needs(regions=True)
    alpha: Tensor
    beta: Tensor
    smooth: Tensor
    gamma: Tensor

    def __init__(
        self, alpha: float, beta: float, smooth: float, reduction: Reduction, gamma: float | None = None
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.has_power = gamma is not None
        self.constant("alpha", alpha)
        self.constant("beta", beta)
        self.constant("smooth", smooth)
        self.constant("gamma", 1.0 if gamma is None else gamma)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        positives, negatives, support = self.counts(found)
        if self.reduction == "batch":
            positives, negatives, support = positives.sum(0), negatives.sum(0), support.sum(0)
        distance = self.of_counts(positives, negatives, support)
        if self.reduction == "batch":
            return distance.mean()
        counts = (found.support.sum(1) > 0).to(distance.dtype)
        return ratio((distance.mean(1) * counts).sum(), counts.sum())

    def of_counts(self, positives: Tensor, negatives: Tensor, support: Tensor) -> Tensor:
        """Return the distance, to its power, for soft counts of any one shape.

        Args:
            positives: FP.
            negatives: FN.
            support: TP + FN, the number of pixels.
        """
        dtype = positives.dtype
        wrong = self.alpha.to(dtype) * positives + self.beta.to(dtype) * negatives
        right = support - negatives + self.smooth.to(dtype)
        # The same number twice: the smaller part keeps its digits, in the value and in the gradient.
        distance = torch.where(wrong < right, wrong / (right + wrong), 1.0 - right / (right + wrong))
        if not self.has_power:
            return distance
        gamma = self.gamma.to(dtype)
        return (distance + NUDGE).pow(gamma) - torch.pow(NUDGE, gamma)

    def counts(self, found: Statistics) -> tuple[Tensor, Tensor, Tensor]:
        """Return FP, FN and TP + FN, each (N, C)."""
        assert found.false_positives is not None  # as `needs` says
        assert found.false_negatives is not None
        return (
            found.false_positives,
            found.false_negatives,
            found.support[:, -found.false_positives.shape[1] :],
        )


@build_term.register
def _jaccard(loss: Jaccard, prior: ClassPrior) -> Term:
    return RegionTerm(1.0, 1.0, loss.smooth, loss.reduction)


@build_term.register
def _dice(loss: Dice, prior: ClassPrior) -> Term:
    return RegionTerm(0.5, 0.5, 0.5 * loss.smooth, loss.reduction)


@build_term.register
def _tversky(loss: Tversky, prior: ClassPrior) -> Term:
    return RegionTerm(fixed(loss.alpha), fixed(loss.beta), loss.smooth, loss.reduction)


@build_term.register
def _focal_tversky(loss: FocalTversky, prior: ClassPrior) -> Term:
    alpha, beta = fixed(loss.alpha), fixed(loss.beta)
    return RegionTerm(alpha, beta, loss.smooth, loss.reduction, fixed(loss.gamma))
