"""The Jaccard distance to soft labels: the kernel of regions over other counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.soft_jaccard import SoftJaccard
from lossweep.spaces.losses.ramp import fixed
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.families.regions import RegionTerm
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term


class SoftJaccardTerm(RegionTerm):
    """Jaccard distance to labels ``y = (1 - e) [class is true] + e / classes`` (Wang et al., NeurIPS 2023).

    TP, FP and FN are sums of min(p, y), max(p - y, 0) and max(y - p, 0): the distance is 0 at p = y and
    nowhere else. (Products p y, which give the same for hard labels, would have the prediction surer than a
    soft one.) Classes and reduction are as in `RegionTerm`; a class absent from the masks is expected at e /
    classes.
    """

    needs = Needs(probabilities=True)
    smoothing: Tensor

    def __init__(self, label_smoothing: float, smooth: float, reduction: Reduction) -> None:
        super().__init__(1.0, 1.0, smooth, reduction)
        self.constant("smoothing", label_smoothing)

    def counts(self, found: Statistics) -> tuple[Tensor, Tensor, Tensor]:
        """Return FP, FN and TP + FN of the soft labels, each (N, C)."""
        p = found.probabilities
        assert p is not None  # as `needs` says
        smoothing = self.smoothing.to(p.dtype)
        kept, spread = 1.0 - smoothing, smoothing / found.support.shape[1]
        excess = torch.addcmul(p.detach(), found.labelled.unsqueeze(1), -spread)
        if found.is_binary:
            excess.addcmul_(found.labels.unsqueeze(1), -kept)
        else:
            excess.scatter_add_(1, found.labels.unsqueeze(1), (-kept * found.labelled).unsqueeze(1))
        positives, negatives = _Beyond.apply(p, excess)
        support = kept * found.support[:, -p.shape[1] :] + spread * found.support.sum(1, keepdim=True)
        return positives, negatives, support


@build_term.register
def _soft_jaccard(loss: SoftJaccard, prior: ClassPrior) -> Term:
    return SoftJaccardTerm(fixed(loss.label_smoothing), loss.smooth, loss.reduction)


class _Beyond(torch.autograd.Function):
    """Probabilities p and their excess over the labels, both (N, K, H, W), to FP and FN (N, K).

    Of p only the gradient is of use, +1 where it exceeds its label and -1 where it falls short of it: two
    passes, where autograd's through clamping would take six.
    """

    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        ctx.save_for_backward(excess)
        return excess.clamp_min(0.0).sum((2, 3)), excess.clamp_max(0.0).sum((2, 3)).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
        (excess,) = ctx.saved_tensors
        by_positives, by_negatives = (grad[:, :, None, None] for grad in grads)
        return torch.where(excess > 0.0, by_positives, by_negatives.neg()), None
