"""Jaccard, Dice and Tversky distances."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Reduction, Term

_SMOOTH: Final = "added to both sides of the ratio; larger is gentler on tiny objects and empty tiles"
_REDUCTION: Final = "one ratio over the whole batch, or the mean of one ratio an image"
_ALPHA: Final = "weight of false positives; raise it for precision"
_BETA: Final = "weight of false negatives; raise it for recall"

Side = Annotated[float | Ramp, Ramped(ge=0.0, le=2.0)]
"""How much one kind of error weighs."""


class Jaccard(Term):
    """Soft Jaccard distance, 1 - |A and B| / |A or B|."""

    place = 4
    formula = "1 - (TP + s) / (TP + FP + FN + s)"
    source = "Rahman and Wang, Optimizing Intersection-Over-Union, ISVC 2016"
    when = "refinement at a small learning rate: optimizes overlap itself, balances precision and recall"
    short_name = "Jaccard"
    color = "#009e73"

    term: Literal["jaccard"] = "jaccard"
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class Dice(Term):
    """Soft Dice distance, 1 - 2 |A and B| / (|A| + |B|)."""

    place = 5
    formula = "1 - (2 TP + s) / (2 TP + FP + FN + s)"
    source = "Milletari et al., V-Net, 3DV 2016"
    when = "refinement, or summed with cross-entropy as a sturdy default"
    short_name = "Dice"
    color = "#56b4e9"

    term: Literal["dice"] = "dice"
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class Tversky(Term):
    """Tversky distance (Salehi et al., 2017): ``alpha`` weighs false positives, ``beta`` false negatives."""

    place = 6
    formula = "1 - (TP + s) / (TP + alpha FP + beta FN + s)"
    source = "Salehi et al., Tversky loss function for image segmentation, MLMI 2017, eq. 3"
    when = "to trade precision against recall within a region loss; alpha = beta = 0.5 is Dice, 1 is Jaccard"
    short_name = "Tversky"
    color = "#d55e00"

    term: Literal["tversky"] = "tversky"
    alpha: Side = Field(default=0.3, description=_ALPHA)
    beta: Side = Field(default=0.7, description=_BETA)
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)


class FocalTversky(Term):
    """Tversky distance to the power ``gamma`` (Abraham and Khan, ISBI 2019, whose gamma is 1/this)."""

    place = 7
    formula = "(T + 1e-6)^gamma - 1e-6^gamma, T the Tversky distance"
    source = "Abraham and Khan, A Novel Focal Tversky Loss Function, ISBI 2019, whose gamma is 1/this"
    when = "small objects that Tversky finds late"
    short_name = "fTversky"
    color = "#882255"

    term: Literal["focal_tversky"] = "focal_tversky"
    alpha: Side = Field(default=0.3, description=_ALPHA)
    beta: Side = Field(default=0.7, description=_BETA)
    gamma: Annotated[float | Ramp, Ramped(gt=0.0, le=3.0)] = Field(
        default=0.75, description="below 1 keeps pushing when the overlap is already good"
    )
    smooth: float = Field(default=1.0, gt=0.0, description=_SMOOTH)
    reduction: Reduction = Field(default="batch", description=_REDUCTION)
