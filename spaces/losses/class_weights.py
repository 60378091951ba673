"""Class weights as data: given, or to be computed from how often the classes occur."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from lossweep.spaces.files.errors import refused
from lossweep.spaces.losses.ramp import Ramp, Ramped
from lossweep.spaces.losses.term import Frozen


class FrequencyWeights(Frozen):
    """Weights (1/f)^power from the classes' training frequencies f, the commonest class at 1, capped."""

    power: Annotated[float | Ramp, Ramped(ge=0.0, le=2.0)] = Field(
        description="0 weighs all classes alike, 1 by their inverse frequency"
    )
    cap: float = Field(default=1000.0, ge=1.0, description="the largest weight a class can get")


class EffectiveNumberWeights(Frozen):
    """Weights from the effective number of samples (Cui et al., CVPR 2019), the commonest at 1, capped."""

    beta: float = Field(
        ge=0.0, lt=1.0, description="0 weighs all classes alike, towards 1 by their inverse frequency"
    )
    cap: float = Field(default=1000.0, ge=1.0, description="the largest weight a class can get")


def _weights_form(value: Any) -> str:
    if isinstance(value, dict):
        return "effective_number" if "beta" in value else "frequency"
    if isinstance(value, FrequencyWeights):
        return "frequency"
    return "effective_number" if isinstance(value, EffectiveNumberWeights) else "given"


GivenWeights = Annotated[tuple[Annotated[float, Field(ge=0.0)], ...], Field(min_length=2)]
"""One weight a class, background first."""

ClassWeights = Annotated[
    Annotated[GivenWeights, Tag("given")]
    | Annotated[FrequencyWeights, Tag("frequency")]
    | Annotated[EffectiveNumberWeights, Tag("effective_number")],
    Discriminator(_weights_form),
]
"""Given one a class (background first), or how to compute them from the training masks."""


def some_weight(weights: Any) -> Any:
    """Refuse given weights that are all 0: the validator of a term's ``weights``."""
    if isinstance(weights, tuple) and not any(weights):
        raise refused("at least one class must weigh more than nothing")
    return weights
