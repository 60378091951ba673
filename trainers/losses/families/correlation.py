"""The Matthews correlation coefficient as a loss."""

from __future__ import annotations

from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.correlation import MatthewsCorrelation
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term


class MatthewsTerm(Term):
    """``1 - MCC`` of the soft confusion matrix of the batch (Abhishek and Hamarneh, ISBI 2021, eq. 3-5).

    ``smooth`` pixels are added to each of TP, TN, FP and FN, so that a batch without foreground (where MCC is
    0 / 0) still punishes false positives. More than two classes: the mean over classes of one against the
    rest.
    """

    needs = Needs(regions=True)
    smooth: Tensor

    def __init__(self, smooth: float) -> None:
        super().__init__()
        self.constant("smooth", smooth)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        assert found.false_positives is not None  # as `needs` says
        assert found.false_negatives is not None
        smooth = self.smooth.to(found.logits.dtype)
        pixels = found.support.sum()
        support = found.support[:, -found.false_positives.shape[1] :].sum(0)
        fp, fn = found.false_positives.sum(0), found.false_negatives.sum(0)
        tp, tn = support - fn + smooth, (pixels - support - fp).clamp_min(0.0) + smooth
        fp, fn = fp + smooth, fn + smooth
        # Square roots in pairs: the product of all four sums of a large batch would overflow float32.
        scale = ((tp + fp) * (tp + fn)).sqrt() * ((tn + fp) * (tn + fn)).sqrt()
        loss = (1.0 - (tp * tn - fp * fn) / scale).mean()
        return loss * (pixels > 0)


@build_term.register
def _matthews(loss: MatthewsCorrelation, prior: ClassPrior) -> Term:
    return MatthewsTerm(loss.smooth)
