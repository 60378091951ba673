"""Cross-entropy over the hardest pixels, chosen without the host knowing how many there are."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.topk import TopKCrossEntropy
from lossweep.spaces.losses.ramp import fixed
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term, ratio


class TopKCrossEntropyTerm(Term):
    """Mean of ``-log p[t]`` over the hardest ``share`` of the labelled pixels (TopK).

    They are k = share n of n labelled pixels, and one at least. A k that is no whole number takes a part of
    the next pixel, and pixels that tie for the last places share them: the value is continuous in ``share``
    and does not depend on the order of pixels. With a ``threshold``, all pixels with p[t] below it count,
    and ``share`` says how many do at least (OHEM). Which pixels count has no gradient.

    Reduction: ``batch`` takes the hardest of all images, ``image`` the mean over images with at least one
    labelled pixel.
    """

    needs = Needs(likelihood=True)
    share: Tensor
    cut: Tensor

    def __init__(self, share: float, threshold: float | None, reduction: Reduction) -> None:
        super().__init__()
        self.reduction = reduction
        self.constant("share", share)
        self.constant("cut", -math.inf if threshold is None else math.log(threshold))

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        assert found.log_likelihood is not None  # as `needs` says
        rows = len(found.labelled) if self.reduction == "image" else 1
        likelihood = found.log_likelihood.reshape(rows, -1)  # 0 where ignored: no pixel is easier
        pixels = found.support.sum(1).reshape(rows, -1).sum(1)
        with torch.no_grad():
            weights, amounts = self._weights(likelihood, pixels)
        means = ratio(torch.linalg.vecdot(weights, likelihood), amounts)
        counts = (pixels > 0).to(means.dtype)
        return -ratio((means * counts).sum(), counts.sum())

    def _weights(self, likelihood: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """How much each pixel counts (rows, P), and their sums (rows,); ``pixels`` (rows,) are labelled."""
        dtype = likelihood.dtype
        wanted = torch.minimum((self.share.to(dtype) * pixels).clamp_min(1.0), pixels)
        last = _smallest(likelihood, wanted.ceil().clamp_min(1.0))
        harder, level = likelihood < torch.maximum(last, self.cut.to(dtype)), likelihood == last
        certain = harder.sum(1).to(dtype)
        # Where the threshold lets more in, those at the last place are in as a whole.
        part = ((wanted - certain) / level.sum(1)).where(last.squeeze(1) >= self.cut, 1.0)
        weights = torch.where(level, part.unsqueeze(1), harder.to(dtype))
        return weights, torch.maximum(wanted, certain)


@build_term.register
def _topk(loss: TopKCrossEntropy, prior: ClassPrior) -> Term:
    return TopKCrossEntropyTerm(fixed(loss.share), loss.threshold, loss.reduction)


def _smallest(values: Tensor, rank: Tensor) -> Tensor:
    """Each row's value of a rank (rows,), 1 the smallest, of values (rows, P), as (rows, 1).

    Sorting leaves the ranks on the device. On a CPU, where reading them costs nothing, numpy selects in a
    tenth of the time.
    """
    places = rank.long() - 1
    if values.is_cpu and not torch.compiler.is_compiling():
        pairs = zip(values.numpy(), places.tolist(), strict=True)
        return torch.tensor([[np.partition(row, place)[place]] for row, place in pairs], dtype=values.dtype)
    return values.sort(1).values.gather(1, places.unsqueeze(1))
