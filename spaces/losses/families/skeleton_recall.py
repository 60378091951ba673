"""Skeleton recall: whether thin structures are found along their whole length."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lossweep.spaces.losses.term import Reduction, Term


class SkeletonRecall(Term):
    """Skeleton recall loss: 1 - the recall along the truth's skeleton, thickened by two pixels a side."""

    place = 13
    formula = "1 - (sum of p[t] on the skeleton + s) / (its pixels + s)"
    source = "Kirchhoff et al., Skeleton Recall Loss for Connectivity Conserving Segmentation, ECCV 2024"
    when = "in a sum with a region loss: cracks, roads, rivers, whose gaps count for more than their width"
    short_name = "skelRec"
    color = "#661100"

    term: Literal["skeleton_recall"] = "skeleton_recall"
    smooth: float = Field(default=1e-5, gt=0.0, description="added to both sides of the ratio")
    reduction: Reduction = Field(
        default="batch", description="one ratio over the whole batch, or the mean of one ratio an image"
    )
