"""The Jaccard distance to soft labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Reduction, Term


class SoftJaccard(Term):
    """Jaccard metric loss: the Jaccard distance to smoothed labels, 0 where they are met."""

    place = 14
    formula = "1 - (sum min(p, y) + s) / (sum max(p, y) + s), y = (1 - e) [k is t] + e / classes"
    source = "Wang et al., Jaccard Metric Losses: Optimizing the Jaccard Index with Soft Labels, NeurIPS 2023"
    when = "Jaccard in a sum with a smoothed cross-entropy, or where borders are drawn uncertainly"
    short_name = "sJaccard"
    color = "#999933"

    term: Literal["soft_jaccard"] = "soft_jaccard"
    label_smoothing: Annotated[float | Ramp, Ramped(ge=0.0, lt=1.0)] = Field(
        default=0.1, description="share of the target spread evenly over all classes"
    )
    smooth: float = Field(
        default=1.0,
        gt=0.0,
        description="added to both sides of the ratio; larger is gentler on tiny objects and empty tiles",
    )
    reduction: Reduction = Field(
        default="batch", description="one ratio over the whole batch, or the mean of one ratio an image"
    )
