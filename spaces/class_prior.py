"""How often each class occurs in the training masks: class weights and focal's alpha follow from it."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, model_validator

IGNORE_INDEX: Final = 255
"""Mask value of pixels that count nowhere: not in a loss, not in a metric, not in a class frequency."""


class ClassPrior(BaseModel):
    """The classes and their share of the labelled (not ignored) training pixels.

    Attributes:
        names: class names, background first; mask index ``i`` means ``names[i]``.
        frequencies: each class's share in [0, 1], summing to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    frequencies: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> ClassPrior:
        if len(self.names) != len(self.frequencies):
            raise ValueError(f"{len(self.names)} class names but {len(self.frequencies)} frequencies")
        if len(self.names) < 2:
            raise ValueError(f"names must hold background and at least one class, but got {self.names}")
        return self

    @property
    def is_binary(self) -> bool:
        """Two classes: the model has one logit channel (sigmoid) rather than one a class (softmax)."""
        return len(self.names) == 2

    @property
    def channels(self) -> int:
        """Logit channels of the model: 1 for two classes, else one a class."""
        return 1 if self.is_binary else len(self.names)

    @property
    def foreground(self) -> float:
        """The share of all classes but the background."""
        return sum(self.frequencies[1:])
