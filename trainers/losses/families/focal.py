"""Focal loss, stable for every gamma from 0 and every logit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.focal import Focal
from lossweep.spaces.losses.ramp import fixed
from lossweep.trainers.losses.class_weights import class_weights, pixel_weights
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import PixelTerm, Term, build_term, ratio


class FocalTerm(PixelTerm):
    """Mean of ``-a[t] (1 - p[t])^gamma log p[t]`` over labelled pixels (Lin et al., ICCV 2017, eq. 5).

    ``p[t]`` is the sigmoid's for two classes, the softmax's for more. ``alpha`` weighs the foreground and 1 -
    alpha the background (each foreground class, for more than two), as in the paper without renormalizing.
    Class weights are divided by their sum over the pixels, so that gamma 0 gives weighted cross-entropy. Both
    may be given.
    """

    needs = Needs(likelihood=True, miss=True)
    gamma: Tensor
    weights: Tensor
    balance: Tensor

    def __init__(
        self, classes: int, gamma: float, alpha: float | None = None, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.balanced = alpha is not None
        self.weighted = weights is not None
        share = 1.0 if alpha is None else alpha
        self.constant("gamma", gamma)
        self.constant("weights", torch.ones(classes) if weights is None else weights)
        self.constant("balance", [1.0 if alpha is None else 1.0 - share, *[share] * (classes - 1)])

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        values = self._values(found)
        weights = self.weights.to(values.dtype)
        amount = (found.support * weights).sum()
        if not (self.weighted or self.balanced):
            return ratio(values.sum(), amount)  # ignored pixels are 0
        return ratio((values * pixel_weights(found, weights * self.balance.to(values.dtype))).sum(), amount)

    def per_pixel(self, found: Statistics) -> tuple[Tensor, Tensor]:
        """See `PixelTerm.per_pixel`."""
        values = self._values(found)
        weights = self.weights.to(values.dtype)
        if self.weighted or self.balanced:
            values = values * pixel_weights(found, weights * self.balance.to(values.dtype))
        return values, pixel_weights(found, weights) if self.weighted else found.labelled

    def _values(self, found: Statistics) -> Tensor:
        """Each pixel's loss (N, H, W) without weights, 0 at ignored pixels."""
        assert found.log_likelihood is not None  # as `needs` says
        assert found.miss is not None
        values: Tensor = _Focal.apply(found.log_likelihood, found.miss, self.gamma.to(found.logits.dtype))
        return values


@build_term.register
def _focal(loss: Focal, prior: ClassPrior) -> Term:
    weights = None if loss.weights is None else class_weights(loss.weights, prior)
    alpha = None if loss.alpha is None else fixed(loss.alpha)
    return FocalTerm(len(prior.names), fixed(loss.gamma), alpha, weights)


class _Focal(torch.autograd.Function):
    """``-q^gamma l`` of log-probabilities ``l``, with ``q = 1 - exp(l)``; its derivative is written out.

    The derivative is ``-q^gamma (1 - gamma p l / q)``, and -l / q goes to 1 as q goes to 0: nothing divides
    by zero, where differentiating ``q ** gamma`` for gamma < 1 gives infinity times zero.
    """

    @staticmethod
    def forward(ctx: Any, log_likelihood: Tensor, miss: Tensor, gamma: Tensor) -> Tensor:
        """See the class."""
        tiny = torch.finfo(miss.dtype).tiny
        bounded = miss.clamp_min(tiny)
        modulation = bounded.log().mul_(gamma).exp_()
        loss = -log_likelihood
        # loss / miss with 0 / 0 = 1: both are the smallest normal number then.
        growth = loss.clamp_min(tiny).div_(bounded).mul_(1.0 - miss).mul_(gamma)
        ctx.save_for_backward(growth.add_(1.0).mul_(modulation))
        return loss.mul_(modulation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        (slope,) = ctx.saved_tensors
        return (grads[0] * slope).neg_(), None, None
