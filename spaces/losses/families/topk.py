"""Cross-entropy over the hardest pixels alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Reduction, Term


class TopKCrossEntropy(Term):
    """Cross-entropy over the hardest labelled pixels: TopK, and with a threshold OHEM."""

    place = 12
    formula = "mean of -log p[t] over the hardest share of the pixels, and all with p[t] < threshold"
    source = (
        "Wu et al., Bridging Category-level and Instance-level Semantic Image Segmentation, 2016; "
        "OHEM: Shrivastava et al., CVPR 2016"
    )
    when = "the easy pixels are so many that they hide the hard ones, and focal's soft discount is too little"
    short_name = "topK"
    color = "#117733"

    term: Literal["topk_ce"] = "topk_ce"
    share: Annotated[float | Ramp, Ramped(gt=0.0, le=1.0)] = Field(
        default=0.1, description="of the labelled pixels, the hardest; 1 is cross-entropy"
    )
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        default=None, description="pixels whose true class is less probable count too (OHEM), however many"
    )
    reduction: Reduction = Field(
        default="batch", description="the hardest of the whole batch, or the mean of one mean an image"
    )
