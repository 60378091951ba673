"""What the losses see of a batch: a few statistics, computed once and shared by every term.

A pixelwise loss (cross-entropy, focal) depends on the logits only through the log-probability of each pixel's
true class; a region loss (Jaccard, Dice, Tversky, MCC) only through each class's false positives and false
negatives. So one softmax (sigmoid for two classes) serves any sum of them, and its backward pass is written
out here: with ``v`` the gradient by a pixel's true-class log-probability and ``a[k]`` that by the total
probability of class ``k``,

    dL/dz[k] = p[k] * (a[k] - sum_j a[j] p[j] - v) + [k is the true class] * v.

Everything is a sum of non-negative numbers: no intersection by cancellation, no one-hot mask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spaces.class_prior import IGNORE_INDEX


class Needs(NamedTuple):
    """Which statistics a term reads, so that the others are not computed."""

    regions: bool = False
    probabilities: bool = False


class Statistics(NamedTuple):
    """A batch as the losses see it: N images, H x W pixels, C region classes (only the foreground of two).

    Attributes:
        logits: (N, K, H, W), float32 or float64; K = 1 for two classes.
        target: (N, H, W) as given, int64, ignored pixels 255.
        labels: (N, H, W) class index, int64 with ignored pixels 0 when K > 1; for K = 1 the same as a float
            mask.
        labelled: (N, H, W), 1 where the pixel counts and 0 where it is ignored; dtype of the logits.
        log_likelihood: (N, H, W) log-probability of the true class; arbitrary but finite at ignored pixels.
        false_positives: (N, C) probability of a class summed over the pixels of others; None unless needed.
        false_negatives: (N, C) probability of other classes summed over the class's pixels; None unless
            needed.
        support: (N, C) labelled pixels of each class; None unless needed.
        probabilities: (N, K, H, W), 0 at ignored pixels; None unless needed.
    """

    logits: Tensor
    target: Tensor
    labels: Tensor
    labelled: Tensor
    log_likelihood: Tensor
    false_positives: Tensor | None = None
    false_negatives: Tensor | None = None
    support: Tensor | None = None
    probabilities: Tensor | None = None

    @property
    def is_binary(self) -> bool:
        """One logit channel, sigmoid."""
        return self.logits.shape[1] == 1


def statistics(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    """Compute what the terms of a loss need, once.

    Args:
        logits: (N, K, H, W), float32 or float64.
        target: (N, H, W) integer class indices, 255 ignored.
        needs: the union of what the terms read.

    Raises:
        ValueError: the shapes do not fit.
    """
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "logits must be (N, K, H, W) and target (N, H, W), "
            f"but got {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    return (_binary if logits.shape[1] == 1 else _multiclass)(logits, target, needs)


def _binary(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    foreground = target.to(logits.dtype)
    # 0 -> 1, 1 -> 1, 255 -> 0: two cheap passes where comparing and casting would be two dear ones.
    labelled = (2.0 - foreground).clamp_(0.0, 1.0)
    foreground = foreground * labelled
    found = _BinaryStatistics.apply(logits.squeeze(1), foreground, labelled, needs.regions)
    if not needs.regions:
        (log_likelihood,) = found
        return Statistics(logits, target, foreground, labelled, log_likelihood)
    log_likelihood, false_positives, false_negatives = found
    support = foreground.sum((1, 2)).unsqueeze(1)
    return Statistics(
        logits, target, foreground, labelled, log_likelihood, false_positives, false_negatives, support
    )


def _multiclass(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    target = target.long()
    valid = target != IGNORE_INDEX
    labels = target * valid
    labelled = valid.to(logits.dtype)
    log_likelihood, *rest = _SoftmaxStatistics.apply(
        logits, labels, labelled, needs.regions, needs.probabilities
    )
    found = Statistics(logits, target, labels, labelled, log_likelihood)
    if needs.probabilities:
        found = found._replace(probabilities=rest.pop())
    if needs.regions:
        mass, overlap = rest
        support = sum_by_class(labelled, labels, logits.shape[1])
        found = found._replace(
            false_positives=(mass - overlap).clamp_min(0.0),
            false_negatives=(support - overlap).clamp_min(0.0),
            support=support,
        )
    return found


def sum_by_class(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum (N, H, W) values by their pixel's class, giving (N, classes).

    Row by row first: a single running sum in float32 would lose small values once it is large.
    """
    images, height, width = values.shape
    rows = values.new_zeros(images * height, classes)
    rows.scatter_add_(1, labels.reshape(-1, width), values.reshape(-1, width))
    return rows.view(images, height, classes).sum(1)


class _BinaryStatistics(torch.autograd.Function):
    """Logits (N, H, W) to log-probability of the true class; when asked for, false positives and negatives.

    All of it follows from the miss ``q = 1 - p_true = sigmoid(-x)``, ``x`` being the logit with the sign of
    the truth, which is exact however small: FP and FN are its sums, and the gradient by ``x`` is ``q`` times
    simple factors.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, foreground: Tensor, labelled: Tensor, regions: bool
    ) -> tuple[Tensor, ...]:
        sign = 1.0 - 2.0 * foreground  # of the gradient: -1 on foreground
        against = logits * sign
        miss = against.sigmoid()
        other = 1.0 - miss
        larger = torch.maximum(miss, other)
        # log(1 - q) = log(r) + (exact(1 - q) - r) / r with r the rounded 1 - q, which is about 1 where this
        # matters.
        lost = (1.0 - larger) - torch.minimum(miss, other)
        log_likelihood = larger.log().add_(lost).sub_(against.clamp_min(0.0))
        miss = miss * labelled
        ctx.regions = regions
        if not regions:
            ctx.save_for_backward(miss, sign)
            return (log_likelihood,)
        background = labelled - foreground
        ctx.save_for_backward(miss, sign, foreground, background)
        false_positives = (miss * background).sum((1, 2)).unsqueeze(1)
        false_negatives = (miss * foreground).sum((1, 2)).unsqueeze(1)
        return log_likelihood, false_positives, false_negatives

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.regions:
            miss, sign = ctx.saved_tensors
            return (grads[0] * miss).mul_(sign).neg_(), None, None, None
        miss, sign, foreground, background = ctx.saved_tensors
        by_likelihood, by_positives, by_negatives = grads
        gradient = background * by_positives.unsqueeze(2)
        gradient.addcmul_(foreground, by_negatives.unsqueeze(2))
        gradient.mul_(1.0 - miss).sub_(by_likelihood).mul_(miss).mul_(sign)
        return gradient, None, None, None


class _SoftmaxStatistics(torch.autograd.Function):
    """Logits (N, K, H, W) to log-probability of the true class; when asked for, class sums, probabilities."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, labelled: Tensor, regions: bool, probabilities: bool
    ) -> tuple[Tensor, ...]:
        index = labels.unsqueeze(1)
        p = logits.softmax(1)
        # log-softmax at the true class, without a second pass of exponentials: log max(p) = -log sum exp(z -
        # max z).
        log_likelihood = logits.gather(1, index).squeeze(1)
        log_likelihood = log_likelihood.sub_(logits.amax(1)).add_(p.amax(1).log_())
        p.mul_(labelled.unsqueeze(1))  # ignored pixels have no probability: nothing below needs to mask them
        likelihood = log_likelihood.exp().mul_(labelled)
        ctx.regions, ctx.probabilities = regions, probabilities
        ctx.save_for_backward(p, likelihood, labels, labelled)
        out = [log_likelihood]
        if regions:
            out += [p.sum((2, 3)), sum_by_class(likelihood, labels, logits.shape[1])]
        if probabilities:
            out.append(p)
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        p, likelihood, labels, labelled = ctx.saved_tensors
        images, classes = p.shape[:2]
        true = grads[0] * labelled
        pull = -true
        if ctx.regions:
            by_mass, by_overlap = grads[1], grads[2]
            by_own = by_overlap.gather(1, labels.reshape(images, -1)).view_as(likelihood)
            true = torch.addcmul(true, by_own, likelihood)
            expected = torch.bmm(by_mass.unsqueeze(1), p.reshape(images, classes, -1))
            pull = -(true + expected.view_as(true))
        if ctx.probabilities:
            by_p = grads[-1]
            pull = pull - (by_p * p).sum(1)
            gradient = by_p + pull.unsqueeze(1)
            if ctx.regions:
                gradient += by_mass[:, :, None, None]
            gradient *= p
        elif ctx.regions:
            gradient = (by_mass[:, :, None, None] + pull.unsqueeze(1)).mul_(p)
        else:
            gradient = pull.unsqueeze(1) * p
        gradient.scatter_add_(1, labels.unsqueeze(1), true.unsqueeze(1))
        return gradient, None, None, None, None
