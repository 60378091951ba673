"""Cross-entropy, plain and weighted by class."""

from __future__ import annotations

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.cross_entropy import CrossEntropy, WeightedCrossEntropy
from lossweep.trainers.losses.class_weights import class_weights, pixel_weights
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import PixelTerm, Term, build_term, ratio


class CrossEntropyTerm(PixelTerm):
    """Mean of ``-w[t] log p[t]`` over labelled pixels, divided by the sum of ``w[t]`` as in torch.

    Label smoothing e is torch's: ``(1 - e) w[t] (-log p[t]) + e / classes * sum_k w[k] (-log p[k])``, also
    for two classes (whose sigmoid is a softmax over the logits 0 and z). Whether there is any is fixed when
    the term is built.
    """

    weights: Tensor
    smoothing: Tensor

    def __init__(self, classes: int, weights: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothed = label_smoothing > 0
        self.weighted = weights is not None
        self.needs = Needs(surprise=True, likelihood=self.smoothed)
        self.constant("weights", torch.ones(classes) if weights is None else weights)
        self.constant("smoothing", label_smoothing)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        assert found.surprise is not None  # as `needs` says
        weights = self.weights.to(found.logits.dtype)
        amount = (found.support * weights).sum()
        loss = ratio((found.surprise * weights).sum(), amount)
        if not self.smoothed:
            return loss
        smoothing = self.smoothing.to(loss.dtype)
        every = ratio((_weighted_log_softmax(found, weights) * found.labelled).sum(), amount)
        return (1.0 - smoothing) * loss - smoothing / len(weights) * every

    def per_pixel(self, found: Statistics) -> tuple[Tensor, Tensor]:
        """See `PixelTerm.per_pixel`."""
        assert found.log_likelihood is not None
        weights = self.weights.to(found.logits.dtype)
        amounts = pixel_weights(found, weights) if self.weighted else found.labelled
        values = -found.log_likelihood  # 0 at ignored pixels
        values = amounts * values if self.weighted else values
        if self.smoothed:
            smoothing = self.smoothing.to(values.dtype)
            every = _weighted_log_softmax(found, weights) * found.labelled
            values = (1.0 - smoothing) * values - smoothing / len(weights) * every
        return values, amounts


@build_term.register
def _plain(loss: CrossEntropy, prior: ClassPrior) -> Term:
    return CrossEntropyTerm(len(prior.names), None, loss.label_smoothing)


@build_term.register
def _weighted(loss: WeightedCrossEntropy, prior: ClassPrior) -> Term:
    return CrossEntropyTerm(len(prior.names), class_weights(loss.weights, prior), loss.label_smoothing)


def _weighted_log_softmax(found: Statistics, weights: Tensor) -> Tensor:
    """``sum_k w[k] log p[k]`` (N, H, W): the true class's log-probability gives the normalizer away."""
    assert found.log_likelihood is not None  # as `needs` says
    logits = found.logits
    if found.is_binary:
        foreground = logits.squeeze(1)
        normalizer = foreground * found.labels - found.log_likelihood
        return weights[1] * foreground - weights.sum() * normalizer
    normalizer = logits.gather(1, found.labels.unsqueeze(1)).squeeze(1) - found.log_likelihood
    return torch.einsum("k,nkhw->nhw", weights, logits) - weights.sum() * normalizer
