"""A pixel or region term computed object by object."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.per_object import PerObject, Way
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.families.regions import RegionTerm
from lossweep.trainers.losses.segments import Objects, Sides, members
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import PixelTerm, Term, build_term, ratio


class PerObjectTerm(Term):
    """The mean of a term over the connected components of the truth, each within its own pixels D.

    ``cells``: D is the component and the pixels nearest to it of all components of its class (Bouteille et
    al., arXiv 2511.17146). ``blobs``: D is the component and all pixels of other classes (Kofler et al., IPMI
    2023, with its components masked out rather than set to 0.5). Each foreground class is told from the rest,
    and its mean over objects counts as much as every other's (Kundu et al., arXiv 2604.24276); pixel terms
    keep the log-probability of the true class, of however many.

    Pixels where no object shows (an image without any; the cells whose component a crop has cut away) count
    as one object more, without pixels of its own: false positives there have a gradient.

    ``inverse_size``: the pixels of an object weigh |D| / (2 x object), the others |D| / (2 x others), so that
    both weigh |D| / 2 (the inverse weighting of Shirokikh et al., MICCAI 2020, within D).
    """

    def __init__(
        self, inner: PixelTerm | RegionTerm, classes: int, way: Way, inverse_size: bool, reduction: Reduction
    ) -> None:
        super().__init__()
        self.inner = inner
        self.way: Way = way
        self.inverse_size = inverse_size
        self.reduction = reduction
        self.maps = ("cells",) if way == "cells" else ("components",)
        regional = isinstance(inner, RegionTerm)
        self.needs = Needs(
            likelihood=True,
            miss=regional or inner.needs.miss,
            probabilities=regional and classes > 2,
        )

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        objects = Objects.of(found, self.way)
        values = self._values(found, objects) * objects.counts
        if self.reduction == "batch":
            return ratio(values.sum((0, 2)), objects.counts.sum((0, 2))).mean()
        counts = objects.counts.sum(2)
        images = (counts.sum(1) > 0).to(values.dtype)
        return ratio(ratio(values.sum(2), counts).mean(1).sum(), images.sum())

    def _values(self, found: Statistics, objects: Objects) -> Tensor:
        """The term of each object (N, C, S)."""
        if isinstance(self.inner, RegionTerm):
            missed, called = self._weighed(objects.sums(_errors(found)), objects.pixels)
            support, _ = self._weighed(objects.pixels, objects.pixels)
            return self.inner.of_counts(called, missed, support)
        values, amounts = self.inner.per_pixel(found)
        divisors = objects.pixels if amounts is found.labelled else objects.sums(amounts)
        weighed = (self._weighed(each, objects.pixels) for each in (objects.sums(values), divisors))
        return ratio(*(own + other for own, other in weighed))

    def _weighed(self, sums: Sides, pixels: Sides) -> tuple[Tensor, Tensor]:
        """Sums over the object's pixels and over the others, each with its weight."""
        own, other = sums.own, sums.other
        if not self.inverse_size:
            return own, other
        half = 0.5 * (pixels.own + pixels.other)
        both = (pixels.own > 0) & (pixels.other > 0)  # with one of them alone there is nothing to weigh
        own = torch.where(both, own * ratio(half, pixels.own), own)
        return own, torch.where(both, other * ratio(half, pixels.other), other)


@build_term.register
def _per_object(loss: PerObject, prior: ClassPrior) -> Term:
    inner = build_term(loss.loss, prior)
    assert isinstance(inner, PixelTerm | RegionTerm)  # as the data say
    return PerObjectTerm(inner, len(prior.names), loss.way, loss.inverse_size, loss.reduction)


def _errors(found: Statistics) -> Tensor:
    """How wrong each pixel is about each foreground class, |truth - p|: (N, C, H, W), 0 where ignored."""
    assert found.log_likelihood is not None  # as `needs` says
    assert found.miss is not None
    missed: Tensor = _Miss.apply(found.log_likelihood, found.miss).unsqueeze(1)
    if found.is_binary:
        return missed
    assert found.probabilities is not None
    return torch.where(members(found), missed, found.probabilities[:, 1:])


class _Miss(torch.autograd.Function):
    """The probability of all classes but the true one, from its log-probability l: its derivative -exp(l)."""

    @staticmethod
    def forward(ctx: Any, log_likelihood: Tensor, miss: Tensor) -> Tensor:
        """See the class."""
        ctx.save_for_backward(log_likelihood)
        return miss.view_as(miss)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        (log_likelihood,) = ctx.saved_tensors
        return (grads[0] * log_likelihood.exp()).neg_(), None
