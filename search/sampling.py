"""Which sampler proposes the next schedule, and how its randomness follows from the sweep's seed."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from spaces.loss_terms import Frozen

NAMED = ("tpe", "random", "gp", "cmaes", "nsga2", "nsga3")


class SamplerSpec(Frozen):
    """What stands under ``sampler:``.

    Attributes:
        sampler: ``tpe``, ``random``, ``gp``, ``cmaes``, ``nsga2``, ``nsga3``, ``package.module:Class`` of an
            Optuna sampler, or ``hub:samplers/NAME`` from OptunaHub.
        startup: proposals at random before TPE, GP or CMA-ES model anything.
        ahead: prepare the next proposal while trials train. It then knows every result up to the previous
            ask.
        parameters: further keyword arguments of the sampler.
    """

    sampler: str = "tpe"
    startup: int = Field(default=10, ge=1)
    ahead: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMED and ":" not in name:
            allowed = f"{', '.join(NAMED)}, package.module:Class, hub:samplers/NAME"
            raise ValueError(f"unknown sampler {name!r}; allowed: {allowed}")
        return name

    @model_validator(mode="after")
    def _own_parameters(self) -> Self:
        clash = sorted({"seed", "n_startup_trials"} & self.parameters.keys())
        if clash:
            raise ValueError(f"{clash} follow from the sweep's seed and from startup; leave them out")
        return self
