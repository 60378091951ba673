"""Focal loss, stable for every gamma from 0 and every logit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainers.losses.cross_entropy import pixel_weights
from trainers.losses.segmentation_loss import Term, ratio
from trainers.losses.statistics import Statistics


class FocalTerm(Term):
    """Mean of ``-a[t] (1 - p[t])^gamma log p[t]`` over labelled pixels (Lin et al., ICCV 2017, eq. 5).

    ``p[t]`` is the sigmoid's for two classes, the softmax's for more. ``alpha`` weighs the foreground and 1 -
    alpha the background (each foreground class, for more than two), as in the paper without renormalizing.
    Class weights are divided by their sum over the pixels, so that gamma 0 gives weighted cross-entropy. Both
    may be given.
    """

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
        dtype = found.logits.dtype
        weights = self.weights.to(dtype)
        values: Tensor = _Focal.apply(found.log_likelihood, self.gamma.to(dtype))
        share = pixel_weights(found, weights) if self.weighted else found.labelled
        amount = share.sum()
        if self.balanced:
            share = pixel_weights(found, weights * self.balance.to(dtype))
        return ratio((values * share).sum(), amount)


class _Focal(torch.autograd.Function):
    """``-q^gamma l`` of a log-probability ``l``, with ``q = 1 - exp(l)``, and its derivative written out.

    The derivative is ``-q^gamma (1 - gamma p l / q)``, and -l / q goes to 1 as q goes to 0: nothing divides
    by zero, where differentiating ``q ** gamma`` for gamma < 1 gives infinity times zero.
    """

    @staticmethod
    def forward(ctx: Any, log_likelihood: Tensor, gamma: Tensor) -> Tensor:
        tiny = torch.finfo(log_likelihood.dtype).tiny
        loss = -log_likelihood
        miss = miss_of(loss)
        modulation = miss.clamp_min(tiny).log_().mul_(gamma).exp_()
        # loss / miss with 0 / 0 = 1: both are the smallest normal number then.
        growth = loss.clamp_min(tiny).div_(miss.clamp_min_(tiny)).mul_(1.0 - miss).mul_(gamma)
        ctx.save_for_backward(growth.add_(1.0).mul_(modulation))
        return loss.mul_(modulation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return (grads[0] * slope).neg_(), None


def miss_of(loss: Tensor) -> Tensor:
    """``1 - exp(-loss)`` without cancellation, as ``2 t / (1 + t)`` with ``t = tanh(loss / 2)``."""
    half = (0.5 * loss).tanh_()
    return (2.0 * half).div_(half + 1.0)
