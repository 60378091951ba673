"""Skeleton recall, over skeletons that were computed with the data store."""

from __future__ import annotations

from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.skeleton_recall import SkeletonRecall
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.statistics import Needs, Statistics, sum_by_class
from lossweep.trainers.losses.term import Term, build_term, ratio


class SkeletonRecallTerm(Term):
    """``1 - (sum p[t] + s) / (size + s)`` on each foreground class's skeleton (Kirchhoff et al., ECCV 2024).

    The skeleton is the map ``skeletons``. The mean is over all foreground classes; one without a skeleton
    adds 0 and has no gradient: false positives are other terms' business.

    Reduction: ``batch`` takes one ratio of sums over all images, ``image`` the mean of one ratio an image
    over the images with at least one labelled pixel.
    """

    maps = ("skeletons",)
    smooth: Tensor

    def __init__(self, classes: int, smooth: float, reduction: Reduction) -> None:
        super().__init__()
        self.needs = Needs(likelihood=classes > 2, probabilities=classes == 2)
        self.reduction = reduction
        self.constant("smooth", smooth)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        assert found.maps is not None  # as `maps` says
        on = (found.maps["skeletons"].squeeze(1) > 0) * found.labelled
        sums, sizes = (_by_class(each, found) for each in ((1.0 - _true(found)) * on, on))
        if self.reduction == "batch":
            sums, sizes = sums.sum(0), sizes.sum(0)
        each = sums / (sizes + self.smooth.to(sums.dtype))
        if self.reduction == "batch":
            return each.mean()
        counts = (found.support.sum(1) > 0).to(each.dtype)
        return ratio((each.mean(1) * counts).sum(), counts.sum())


@build_term.register
def _skeleton_recall(loss: SkeletonRecall, prior: ClassPrior) -> Term:
    return SkeletonRecallTerm(len(prior.names), loss.smooth, loss.reduction)


def _true(found: Statistics) -> Tensor:
    """The probability of the true class (N, H, W), on foreground pixels."""
    if found.is_binary:
        assert found.probabilities is not None  # as `needs` says
        return found.probabilities.squeeze(1)
    assert found.log_likelihood is not None  # likewise
    return found.log_likelihood.exp()


def _by_class(values: Tensor, found: Statistics) -> Tensor:
    """Sums over each foreground class's pixels (N, C), of values that are 0 in the background."""
    if found.is_binary:
        return values.sum((1, 2)).unsqueeze(1)
    return sum_by_class(values, found.labels, found.support.shape[1])[:, 1:]
