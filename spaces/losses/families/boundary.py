"""The boundary loss: probabilities times their distance from the true border."""

from __future__ import annotations

from typing import Literal

from lossweep.spaces.losses.term import Term


class Boundary(Term):
    """Boundary loss: the mean of each pixel's probability times its signed distance from the border."""

    place = 11
    formula = "mean of p[k] phi[k], phi the distance in pixels to the border of class k, negative inside it"
    source = "Kervadec et al., Boundary loss for highly unbalanced segmentation, MIDL 2019, eq. 5"
    when = "in a sum beside a region loss, its weight ramped up (0.01..1): false alarms far off cost the most"
    short_name = "boundary"
    color = "#aa4499"

    term: Literal["boundary"] = "boundary"
