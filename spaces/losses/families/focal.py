"""Focal loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lossweep.spaces.losses.class_weights import ClassWeights, some_weight
from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Term


class Focal(Term):
    """Focal loss (Lin et al., ICCV 2017), softmax form for more than two classes."""

    place = 3
    formula = "mean of -a[t] (1 - p[t])^gamma log p[t]"
    source = "Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5"
    when = "many easy pixels drown the hard ones; can beat cross-entropy and diverges when badly set"
    short_name = "focal"
    color = "#cc79a7"

    term: Literal["focal"] = "focal"
    gamma: Annotated[float | Ramp, Ramped(ge=0.0, le=5.0)] = Field(
        default=2.0, description="how much easy pixels are discounted; 0 is cross-entropy"
    )
    alpha: Annotated[float | Ramp, Ramped(gt=0.0, lt=1.0)] | None = Field(
        default=None, description="weight of the foreground; the background weighs 1 - alpha"
    )
    weights: ClassWeights | None = Field(
        default=None, description="class weights as in weighted_ce; usually instead of alpha"
    )

    _weights = field_validator("weights")(some_weight)
