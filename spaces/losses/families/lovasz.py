"""The Lovasz extension of the Jaccard distance."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from lossweep.spaces.losses.term import Reduction, Term

_REDUCTION: Final = "one ratio over the whole batch, or the mean of one ratio an image"


class Lovasz(Term):
    """Lovasz extension of the Jaccard distance (Berman et al., CVPR 2018)."""

    place = 8
    formula = "Lovasz hinge (two classes), Lovasz softmax (more)"
    source = "Berman et al., The Lovasz-Softmax loss, CVPR 2018, alg. 1"
    when = "refinement that optimizes the Jaccard index itself; sorts all pixels, so it costs the most"
    short_name = "Lovász"
    color = "#0072b2"

    term: Literal["lovasz"] = "lovasz"
    reduction: Reduction = Field(default="batch", description=_REDUCTION)
