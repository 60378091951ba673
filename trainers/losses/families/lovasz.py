"""The Lovasz extension of the Jaccard distance."""

from __future__ import annotations

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.lovasz import Lovasz
from lossweep.spaces.losses.terms import Reduction
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term, ratio


class LovaszTerm(Term):
    """Lovasz hinge for two classes, Lovasz softmax for more (Berman et al., CVPR 2018, alg. 1).

    More than two classes: the mean over the classes present (a false positive of an absent class costs the
    class it displaces). Two classes without foreground: the largest hinge error, so the worst false positive
    has a gradient. Reduction ``batch`` sorts all pixels together, ``image`` takes the mean over images with a
    labelled pixel.
    """

    def __init__(self, classes: int, reduction: Reduction) -> None:
        super().__init__()
        self.reduction = reduction
        self.classes = classes
        self.needs = Needs(probabilities=classes > 2)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        errors, truth, counts = self._errors(found)
        values = torch.stack(
            [_extension(e, t) for e, t in zip(errors.unbind(0), truth.unbind(0), strict=True)]
        )
        return ratio((values * counts).sum(), counts.sum())

    def _errors(self, found: Statistics) -> tuple[Tensor, Tensor, Tensor]:
        """Errors (rows, pixels), 0 where ignored, the truth as bool, and each row's share in the mean."""
        images = found.labelled.shape[0]
        if found.is_binary:
            sign = 2.0 * found.labels - 1.0
            errors = (1.0 - found.logits.squeeze(1) * sign).clamp_min(0.0) * found.labelled
            truth = found.labels > 0
            rows = images if self.reduction == "image" else 1
            counts = (found.labelled.reshape(rows, -1).sum(1) > 0).to(errors.dtype)
            return errors.reshape(rows, -1), truth.reshape(rows, -1), counts
        assert found.probabilities is not None  # as `needs` says
        # Class first, so that a row is one class of the batch (or of an image).
        p = found.probabilities.transpose(0, 1)
        index = torch.arange(self.classes, device=p.device)
        truth = (found.labels == index[:, None, None, None]) & (found.labelled > 0)
        errors = (truth.to(p.dtype) - p).abs()
        rows = self.classes * (images if self.reduction == "image" else 1)
        errors, truth = errors.reshape(rows, -1), truth.reshape(rows, -1)
        counts = truth.any(1).to(p.dtype)
        if self.reduction == "image":  # the mean over an image's classes, then over images
            table = counts.view(self.classes, images)
            counts = (table / table.sum(0).clamp_min(1.0)).reshape(-1)
        return errors, truth, counts


@build_term.register
def _lovasz(loss: Lovasz, prior: ClassPrior) -> Term:
    return LovaszTerm(len(prior.names), loss.reduction)


def _extension(errors: Tensor, truth: Tensor) -> Tensor:
    """The Lovasz extension at errors (P,) >= 0, truth (P,) bool: linear while the errors keep their order."""
    with torch.no_grad():
        slope = _slopes(errors, truth)
    return (errors * slope).sum()


def _slopes(errors: Tensor, truth: Tensor) -> Tensor:
    """What each error adds to the Jaccard distance when the pixels turn wrong one by one, the worst first.

    The increments are written out: taking differences of neighbouring distances loses most digits in float32.
    """
    # Floats >= 0 order like the integers of their bits, and integers are sorted by radix: eight times as fast
    # on a CPU.
    bits = errors.view(torch.int64 if errors.dtype == torch.float64 else torch.int32)
    order = torch.sort(torch.iinfo(bits.dtype).max - bits).indices
    hits = truth.index_select(0, order)
    found = hits.cumsum(0)
    support = found[-1:]
    remaining = (support - found).to(errors.dtype)
    rank = torch.arange(1, errors.shape[0] + 1, device=errors.device)
    union = (support + rank - found).to(errors.dtype)
    increments = torch.where(hits, 1.0, remaining / (union - 1.0).clamp_min(1.0)) / union
    # Without any true pixel the distance is 1 as soon as one is wrong.
    first = torch.where(support == 0, torch.ones_like(increments[:1]), increments[:1])
    increments = torch.cat([first, increments[1:]])
    return torch.empty_like(errors).scatter_(0, order, increments)
