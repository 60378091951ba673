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

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossweep.trainers.losses.mask_values import all_labelled


class Needs(NamedTuple):
    """Which statistics a term reads, so that the others are not computed. ``miss`` takes ``likelihood``."""

    surprise: bool = False
    likelihood: bool = False
    miss: bool = False
    regions: bool = False
    probabilities: bool = False


class Statistics(NamedTuple):
    """A batch as the losses see it: N images, H x W pixels, K logit channels, two or more classes.

    C is the number of classes that region losses look at: all, but of two only the foreground.

    Attributes:
        logits: (N, K, H, W), float32 or float64; K = 1 for two classes.
        target: (N, H, W) as given, ignored pixels 255.
        labels: (N, H, W), 0 at ignored pixels: class index (int64), or for two classes 1 on foreground
            (float).
        labelled: (N, H, W), 1 where the pixel counts and 0 where it is ignored; dtype of the logits.
        support: (N, classes) labelled pixels of each class.
        surprise: (classes,) minus the log-probability of the true class, summed over the class's pixels.
        log_likelihood: (N, H, W) log-probability of the true class, 0 at ignored pixels; with ``miss`` also
            its last digits near 0.
        miss: (N, H, W) probability of all other classes, without a gradient; 0 at ignored pixels.
        false_positives: (N, C) probability of a class summed over the pixels of others.
        false_negatives: (N, C) probability of other classes summed over the class's pixels.
        probabilities: (N, K, H, W), 0 at ignored pixels; of two classes the foreground's.
        maps: (N, planes, H, W) by name: what follows from the masks (`trainers.maps`), as the terms ask.
    """

    logits: Tensor
    target: Tensor
    labels: Tensor
    labelled: Tensor
    support: Tensor
    surprise: Tensor | None = None
    log_likelihood: Tensor | None = None
    miss: Tensor | None = None
    false_positives: Tensor | None = None
    false_negatives: Tensor | None = None
    probabilities: Tensor | None = None
    maps: Mapping[str, Tensor] | None = None

    @property
    def is_binary(self) -> bool:
        """Two classes: one logit channel, sigmoid."""
        return self.logits.shape[1] == 1


def statistics(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    """Compute what the terms of a loss need, once.

    Args:
        logits: (N, K, H, W), float32 or float64.
        target: (N, H, W) integer class indices, 255 ignored.
        needs: the union of what the terms read.

    Raises:
        ValueError: the shapes do not fit.
        UserError: on a CPU, the target holds a value that is neither a class nor 255. (On a GPU such a pixel
            counts as ignored: see `trainers.losses.mask_values`.)
    """
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "logits must be (N, K, H, W) and target (N, H, W), "
            f"but got {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    return (_binary if logits.shape[1] == 1 else _multiclass)(logits, target, needs)


def _binary(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    foreground = target.to(logits.dtype, copy=True)
    whole = all_labelled(foreground, target, 2)
    if whole:
        labelled = foreground.new_ones(()).expand_as(foreground)
        background = 1.0 - foreground
    else:
        # 0 -> 1, 1 -> 1, 255 -> 0: two cheap passes where comparing and casting would be two dear ones.
        labelled = (2.0 - foreground).clamp_(0.0, 1.0)
        foreground.mul_(labelled)
        background = labelled - foreground
    support = torch.stack([background.sum((1, 2)), foreground.sum((1, 2))], 1)
    found = Statistics(logits, target, foreground, labelled, support)
    if not any(needs):
        return found
    values = list(SigmoidStatistics.apply(logits.squeeze(1), foreground, background, whole, needs))
    if needs.likelihood:
        found = found._replace(log_likelihood=values.pop(0))
    if needs.miss:
        found = found._replace(miss=values.pop(0))
    if needs.surprise:
        found = found._replace(surprise=torch.stack([values.pop(0), values.pop(0)]))
    if needs.regions:
        positives, negatives = values.pop(0), values.pop(0)
        found = found._replace(false_positives=positives.unsqueeze(1), false_negatives=negatives.unsqueeze(1))
    if needs.probabilities:
        found = found._replace(probabilities=values.pop(0).unsqueeze(1))
    return found


def _multiclass(logits: Tensor, target: Tensor, needs: Needs) -> Statistics:
    labels, classes = target.long(), logits.shape[1]
    whole = all_labelled(target, target, classes)
    if whole:
        labelled = logits.new_ones(()).expand_as(labels)
    else:
        valid = target < classes
        if not (target.is_cpu or target.dtype == torch.uint8):  # a CPU's have been looked at
            valid &= target >= 0
        labels = labels * valid
        labelled = valid.to(logits.dtype)
    support = sum_by_class(labelled, labels, classes)
    found = Statistics(logits, target, labels, labelled, support)
    if not any(needs):
        return found
    values = list(SoftmaxStatistics.apply(logits, labels, labelled, whole, needs))
    if needs.likelihood:
        found = found._replace(log_likelihood=values.pop(0))
    if needs.miss:
        found = found._replace(miss=values.pop(0))
    if needs.surprise:
        found = found._replace(surprise=values.pop(0).sum(0))
    if needs.regions:
        mass, overlap = values.pop(0), values.pop(0)
        found = found._replace(
            false_positives=(mass - overlap).clamp_min(0.0),
            false_negatives=(support - overlap).clamp_min(0.0),
        )
    if needs.probabilities:
        found = found._replace(probabilities=values.pop(0))
    return found


def sum_by_class(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum (N, H, W) values by their pixel's class, giving (N, classes).

    Row by row first: a single running sum in float32 would lose small values once it is large.
    """
    images, height, width = values.shape
    rows = values.new_zeros(images * height, classes)
    rows.scatter_add_(1, labels.reshape(-1, width), values.reshape(-1, width))
    return rows.view(images, height, classes).sum(1)


def by_class(table: Tensor, labels: Tensor) -> Tensor:
    """Look pixels' classes up in a table (N, classes), giving (N, H, W): `sum_by_class` backwards."""
    return table.gather(1, labels.reshape(labels.shape[0], -1)).view_as(labels)


class SigmoidStatistics(torch.autograd.Function):
    """Logits (N, H, W) to what is needed.

    Of: likelihood, miss; surprise by class; false positives, negatives; probabilities.

    ``sigmoid(z)`` and ``sigmoid(-z)`` are both computed: ``1 - sigmoid(z)`` would have lost its digits in
    exactly the pixels that are wrong and sure, and with them the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, foreground: Tensor, background: Tensor, whole: bool, needs: Needs
    ) -> tuple[Tensor, ...]:
        """See the class."""
        yes = logits.sigmoid()
        no = logits.neg().sigmoid_()
        saved = [foreground, background]
        loss = None
        if needs.likelihood or needs.surprise:
            # The logit with the sign of the error; softplus of it is the loss, in a third of F.softplus's
            # time.
            loss = torch.addcmul(logits, foreground, logits, value=-2).clamp_min_(0.0)
            larger = torch.maximum(yes, no)
            if needs.miss:
                # log(1 - s) = log(r) + (1 - r - s) / r with r the rounded 1 - s, about 1 where this matters.
                loss.sub_((1.0 - larger).sub_(torch.minimum(yes, no)))
            loss.sub_(larger.log_())
        slope = yes * no if needs.regions or needs.probabilities else None
        counting = needs.likelihood or needs.surprise or needs.regions
        probabilities = (yes.clone() if counting else yes) if needs.probabilities else None
        if not whole and (needs.likelihood or needs.probabilities):
            labelled = foreground + background
            for each in (loss, slope, probabilities):
                if each is not None:
                    each.mul_(labelled)
        if slope is not None:
            saved.append(slope)
        wrong_yes, wrong_no = (yes.mul_(background), no.mul_(foreground)) if counting else (yes, no)
        found = []
        if needs.likelihood and loss is not None:
            found.append(-loss)
        if needs.miss:
            found.append(wrong_yes + wrong_no)
            ctx.mark_non_differentiable(found[1])
        if needs.surprise and loss is not None:
            flat = loss.flatten()
            found += [torch.dot(flat, background.flatten()), torch.dot(flat, foreground.flatten())]
        if needs.regions:
            found += [wrong_yes.sum((1, 2)), wrong_no.sum((1, 2))]
        if probabilities is not None:
            found.append(probabilities)
        if needs.likelihood or needs.surprise:
            saved += [wrong_yes, wrong_no]
        ctx.needs = needs
        ctx.save_for_backward(*saved)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        needs: Needs = ctx.needs
        foreground, background, *saved = ctx.saved_tensors
        given = list(grads)
        by_likelihood = given.pop(0) if needs.likelihood else None
        by_probability = given.pop() if needs.probabilities else None
        if needs.miss:
            del given[0]
        gradient = None
        if needs.regions:
            by_positives, by_negatives = (grad[:, None, None] for grad in given[-2:])
            gradient = (background * by_positives).addcmul_(foreground, by_negatives, value=-1)
            if by_probability is not None:
                gradient.add_(by_probability)
            gradient.mul_(saved.pop(0))
        elif by_probability is not None:
            gradient = by_probability * saved.pop(0)
        if needs.surprise:
            by_background, by_foreground = given[:2]
            if gradient is None:
                gradient = saved[0] * by_background
            else:
                gradient.addcmul_(saved[0], by_background)
            gradient.addcmul_(saved[1], by_foreground, value=-1)
        if by_likelihood is not None:
            residual = (saved[1] - saved[0]).mul_(by_likelihood)
            gradient = residual if gradient is None else gradient.add_(residual)
        return gradient, None, None, None, None


class SoftmaxStatistics(torch.autograd.Function):
    """Logits (N, K, H, W) to what is needed of: likelihood, miss; surprise; mass, overlap; probabilities."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, labelled: Tensor, whole: bool, needs: Needs
    ) -> tuple[Tensor, ...]:
        """See the class."""
        classes = logits.shape[1]
        p = logits.softmax(1)
        found = []
        loss = None
        if needs.likelihood or needs.surprise:
            # The log-softmax without a second pass of exponentials: log max(p) = -log sum exp(z - max z).
            loss = (
                logits.amax(1).sub_(p.amax(1).log_()).sub_(logits.gather(1, labels.unsqueeze(1)).squeeze(1))
            )
            loss.mul_(labelled)
            if needs.likelihood:
                found.append(-loss)
            if needs.miss:
                found.append(miss_of(loss))
                ctx.mark_non_differentiable(found[1])
            if needs.surprise:
                found.append(sum_by_class(loss, labels, classes))
        if not whole:
            p.mul_(labelled.unsqueeze(1))  # ignored pixels have no probability, so nothing below masks
        saved = [p, labels, labelled]
        if needs.regions:
            if loss is None:
                likelihood = p.gather(1, labels.unsqueeze(1)).squeeze(1)
            else:
                likelihood = loss.neg().exp_().mul_(labelled)  # cheaper than gathering again
            saved.append(likelihood)
            found += [p.sum((2, 3)), sum_by_class(likelihood, labels, classes)]
        if needs.probabilities:
            found.append(p)
        ctx.needs = needs
        ctx.save_for_backward(*saved)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        needs: Needs = ctx.needs
        p, labels, labelled, *saved = ctx.saved_tensors
        given = list(grads)
        # `true` is the gradient by each pixel's true-class log-probability, `shared` that by the
        # probabilities.
        true = shared = None
        if needs.likelihood:
            true = given.pop(0) * labelled
        if needs.miss:
            del given[0]
        if needs.surprise:
            surprised = by_class(-given.pop(0), labels).mul_(labelled)
            true = surprised if true is None else true.add_(surprised)
        pull = true
        if needs.regions:
            mass, overlap = given.pop(0), given.pop(0)
            own = by_class(overlap, labels).mul_(saved[0])
            true = own if true is None else true.add_(own)
            pull = torch.bmm(mass.unsqueeze(1), p.flatten(2)).view_as(labelled).add_(true)
            shared = mass[:, :, None, None]
        if needs.probabilities:
            by_p = given.pop(0)
            shared = by_p if shared is None else by_p + shared
            pulled = (by_p * p).sum(1)
            pull = pulled if pull is None else pulled.add_(pull)
        assert pull is not None  # something was needed
        pull = pull.unsqueeze(1)
        gradient = pull.neg() * p if shared is None else (shared - pull).mul_(p)
        if true is not None:
            gradient.scatter_add_(1, labels.unsqueeze(1), true.unsqueeze(1))
        return gradient, None, None, None, None


def miss_of(loss: Tensor) -> Tensor:
    """``1 - exp(-loss)`` without cancellation, as ``2 t / (1 + t)`` with ``t = tanh(loss / 2)``."""
    half = (0.5 * loss).tanh_()
    return (2.0 * half).div_(half + 1.0)
