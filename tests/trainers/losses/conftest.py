"""Plain float64 implementations of every term, written from the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.spaces.losses.terms import (
    Compound,
    CrossEntropy,
    Dice,
    Focal,
    FocalTversky,
    Jaccard,
    Loss,
    Lovasz,
    MatthewsCorrelation,
    SoftJaccard,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)

Reference = Callable[[Loss, Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two() -> ClassPrior:
    return ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))


@pytest.fixture(scope="session")
def four() -> ClassPrior:
    return ClassPrior(names=("background", "road", "roof", "tree"), frequencies=(0.6, 0.25, 0.1, 0.05))


@pytest.fixture(scope="session")
def reference() -> Reference:
    return _reference


def _reference(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    if isinstance(loss, Compound):
        return torch.stack([part.weight * _reference(part.loss, logits, target) for part in loss.sum]).sum()
    z = logits.double()
    binary = z.shape[1] == 1
    if binary:
        z = torch.cat([torch.zeros_like(z), z], 1)  # the sigmoid of z is the softmax of (0, z)
    images = [(image.flatten(1), mask.flatten()) for image, mask in zip(z, target, strict=True)]
    images = [(image[:, mask != IGNORE_INDEX], mask[mask != IGNORE_INDEX].long()) for image, mask in images]
    images = [(image, mask) for image, mask in images if len(mask)]
    if not images:
        return z.sum() * 0.0
    if getattr(loss, "reduction", "batch") == "batch":
        images = [(torch.cat([i for i, _ in images], 1), torch.cat([m for _, m in images]))]
    return torch.stack([_flat(loss, image, mask, binary) for image, mask in images]).mean()


def _flat(loss: Loss, z: Tensor, t: Tensor, binary: bool) -> Tensor:
    """One image's (or batch's) loss from logits (classes, pixels) and truth (pixels,)."""
    classes = len(z)
    p = z.softmax(0)
    truth = F.one_hot(t, classes).T.double()
    weights = getattr(loss, "weights", None)
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    if isinstance(loss, CrossEntropy | WeightedCrossEntropy):
        return F.cross_entropy(z.T, t, weight=weights, label_smoothing=loss.label_smoothing)
    if isinstance(loss, Focal):
        surprise = -(z.log_softmax(0) * truth).sum(0)
        miss = (p * (1 - truth)).sum(0)  # never cancels
        each = miss**loss.gamma * surprise
        if loss.alpha is not None:
            each = each * torch.tensor([1 - loss.alpha, loss.alpha], dtype=torch.float64)[t.clamp_max(1)]
        return each.mean() if weights is None else (each * weights[t]).sum() / weights[t].sum()
    if isinstance(loss, TopKCrossEntropy):
        return _hardest(F.cross_entropy(z.T, t, reduction="none"), loss)
    if isinstance(loss, Lovasz):
        return _lovasz_hinge(z[1], t) if binary else _lovasz_softmax(p, t)
    if isinstance(loss, SoftJaccard):
        return _soft_jaccard(loss, p, truth)[1 if binary else 0 :].mean()
    tp, fp = (p * truth).sum(1), (p * (1 - truth)).sum(1)
    # The misses through the other classes' probabilities: 1 - p would cancel.
    others = torch.stack([p[[j for j in range(classes) if j != k]].sum(0) for k in range(classes)])
    fn, tn = (others * truth).sum(1), (others * (1 - truth)).sum(1)
    if binary:
        tp, fp, fn, tn = tp[1:], fp[1:], fn[1:], tn[1:]
    if isinstance(loss, MatthewsCorrelation):
        tp, fp, fn, tn = (count + loss.smooth for count in (tp, fp, fn, tn))
        norm = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
        return (1 - (tp * tn - fp * fn) / norm).mean()
    if isinstance(loss, Jaccard):
        return (1 - (tp + loss.smooth) / (tp + fp + fn + loss.smooth)).mean()
    if isinstance(loss, Dice):
        return (1 - (2 * tp + loss.smooth) / (2 * tp + fp + fn + loss.smooth)).mean()
    assert isinstance(loss, Tversky | FocalTversky)
    wrong = loss.alpha * fp + loss.beta * fn
    distance = wrong / (tp + wrong + loss.smooth)
    if isinstance(loss, FocalTversky):
        distance = (distance + 1e-6) ** loss.gamma - 1e-6**loss.gamma
    return distance.mean()


def _soft_jaccard(loss: SoftJaccard, p: Tensor, truth: Tensor) -> Tensor:
    """The paper's |p and y| is (|p| + |y| - |p - y|) / 2, in L1 norms."""
    y = (1 - loss.label_smoothing) * truth + loss.label_smoothing / len(truth)
    both = (p.sum(1) + y.sum(1) - (p - y).abs().sum(1)) / 2
    return 1 - (both + loss.smooth) / (p.sum(1) + y.sum(1) - both + loss.smooth)


def _hardest(each: Tensor, loss: TopKCrossEntropy) -> Tensor:
    """The mean over the k largest, the last of them in part; over all beyond the threshold, when more."""
    if loss.threshold is not None:
        kept = each[each > -math.log(loss.threshold)]
        if len(kept) >= loss.share * len(each) and len(kept):
            return kept.mean()
    k = max(1.0, loss.share * len(each))
    ordered = each.sort(descending=True).values
    share = (k - torch.arange(len(each), dtype=torch.float64)).clamp(0, 1)
    return (ordered * share).sum() / k


def _lovasz_softmax(p: Tensor, t: Tensor) -> Tensor:
    present = [k for k in range(len(p)) if (t == k).any()]
    return torch.stack([_lovasz(((t == k).double() - p[k]).abs(), t == k) for k in present]).mean()


def _lovasz_hinge(z: Tensor, t: Tensor) -> Tensor:
    return _lovasz(F.relu(1 - z * (2.0 * t - 1)), t == 1)


def _lovasz(errors: Tensor, truth: Tensor) -> Tensor:
    """Term by term from the definition: sum of e_i (J(first i wrong) - J(first i - 1 wrong))."""
    total, before = errors.sum() * 0.0, 0.0
    hits = int(truth.sum())
    wrong_in = wrong_out = 0
    for i in errors.detach().argsort(descending=True, stable=True).tolist():
        wrong_in, wrong_out = wrong_in + bool(truth[i]), wrong_out + (not truth[i])
        now = (wrong_in + wrong_out) / (hits + wrong_out) if hits + wrong_out else 0.0
        total = total + errors[i] * (now - before)
        before = now
    return total
