"""A loss schedule: the small programme of phases and cycles that one trial trains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spaces.loss_terms import Frozen, Loss

FORMAT = "lossweep-schedule/1"


class Until(Frozen):
    """Ends a phase when a validation metric is reached.

    Attributes:
        metric: one of `spaces.metric_names`.
        at_least: the level to reach (at most, for metrics that are better when low).
        epochs: the least and the most epochs the phase lasts, both included.
        back_below: when the metric falls under this level in the next phase, training goes back to this one.
            Must be worse than ``at_least``: the distance is the hysteresis.
    """

    metric: str
    at_least: float
    epochs: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    back_below: float | None = None


class Phase(Frozen):
    """One loss at one learning rate, for a number of epochs or until a metric is reached."""

    loss: Loss
    learning_rate: float = Field(gt=0.0, le=10.0)
    epochs: Annotated[int, Field(ge=1)] | None = None
    until: Until | None = None
    shape: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    keep_moments: bool = True

    @property
    def most_epochs(self) -> int:
        """The longest this phase can last, in epochs."""
        return self.until.epochs[1] if self.until else self.epochs or 0


class LossSchedule(Frozen):
    """Phases, repeated ``cycles`` times. Equal schedules are equal, hash equal and have the same `key`.

    A trial trains for exactly its budget of epochs: a schedule that ends earlier goes on in its last phase, a longer
    one is cut. ``epochs``, when given, is that budget, as the exported winner was trained.
    """

    format: Literal["lossweep-schedule/1"] = FORMAT
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    cycles: int = Field(default=1, ge=1)
    epochs: Annotated[int, Field(ge=1)] | None = None

    def unrolled(self) -> tuple[Phase, ...]:
        """The phases in the order they are trained, cycles written out."""
        return self.phases * self.cycles
