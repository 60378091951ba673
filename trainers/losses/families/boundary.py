"""The boundary loss, over distances that were computed with the data store."""

from __future__ import annotations

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.families.boundary import Boundary
from lossweep.trainers.losses.statistics import Needs, Statistics
from lossweep.trainers.losses.term import Term, build_term, ratio


class BoundaryTerm(Term):
    """Mean of ``p[k] phi[k]`` over labelled pixels and foreground classes.

    phi (Kervadec et al., MIDL 2019, eq. 5) is the map ``signed_distance``, in pixels of the crop. The least
    possible value is negative: that of a perfect segmentation. A class that an image does not show has no
    border there and adds nothing, also where it is predicted; a crop without it, of an image with it, has
    distances, and false positives a gradient.
    """

    needs = Needs(probabilities=True)
    maps = ("signed_distance",)

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        assert found.probabilities is not None  # as `needs` and `maps` say
        assert found.maps is not None
        distances = found.maps["signed_distance"].to(found.logits.dtype)
        foreground = found.probabilities[:, -distances.shape[1] :]  # 0 at ignored pixels
        total = torch.linalg.vecdot(foreground.flatten(2), distances.flatten(2)).sum()
        return ratio(total, distances.shape[1] * found.support.sum())


@build_term.register
def _boundary(loss: Boundary, prior: ClassPrior) -> Term:
    return BoundaryTerm()
