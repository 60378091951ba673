"""Which relative rule ends trials that are worse than their peers, as plain data."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from lossweep.search.pruning.rules import RULES
from lossweep.spaces.losses.terms import Frozen
from lossweep.spaces.metric_names import MetricName

NAMED = tuple(RULES)


class PruningSpec(Frozen):
    """What stands under ``pruning:``.

    Attributes:
        pruner: ``rungs`` (successive halving by share of the budget), ``median``, ``none``, or
            ``package.module:Class`` of an Optuna pruner, called with ``parameters``.
        metric: the validation metric compared, on its running best; None for the objective's pilot.
        rungs: shares of a trial's budget at which ``rungs`` compares, rising; ``median`` compares from the
            first on.
        keep: the share of the trials seen at a rung that goes on.
        min_peers: other trials that must have come as far before anything is pruned.
        pause: whether what ``rungs`` hold back waits at its checkpoint, and goes on once it is among the best
            ``keep`` after all. What still waits at the end is pruned; without, it is pruned at once.
        patience: prune only when the running best has not improved for so many evaluations.
        audit: the share of would-be-pruned trials that is let go on, to learn how often the pruner is wrong.
        parameters: keyword arguments of an imported pruner.
    """

    pruner: str = "rungs"
    metric: MetricName | None = None
    rungs: Annotated[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...], Field(min_length=1)] = (0.25, 0.5)
    keep: float = Field(default=0.5, gt=0.0, le=1.0)
    min_peers: int = Field(default=4, ge=1)
    pause: bool = True
    patience: int | None = Field(default=None, ge=1)
    audit: float = Field(default=0.1, ge=0.0, le=1.0)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("pruner")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMED and ":" not in name:
            raise ValueError(f"unknown pruner {name!r}; allowed: {', '.join(NAMED)}, package.module:Class")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs must rise, but got {self.rungs}")
        if self.parameters and self.pruner in NAMED:
            raise ValueError("parameters belong to a pruner given by import path")
        return self

    @property
    def pauses(self) -> bool:
        """Whether trials are paused rather than pruned."""
        return self.pause and self.pruner == "rungs"
