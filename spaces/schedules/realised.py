"""A schedule as a training really went through it: what each ``until`` came to."""

from __future__ import annotations

from pydantic import Field

from lossweep.spaces.losses.terms import Frozen


class RealisedPhase(Frozen):
    """One stay in a phase, as it really was.

    Attributes:
        phase: index in the schedule unrolled over its cycles, from 0.
        cycle: index of its cycle, from 0.
        from_step: optimizer steps done when it was entered.
        to_step: optimizer steps done when it was left.
        from_epoch: epochs done when it was entered.
        epochs: how long it lasted; 0 when a guard ended the trial within its first epoch.
    """

    phase: int = Field(ge=0)
    cycle: int = Field(default=0, ge=0)
    from_step: int = Field(default=0, ge=0)
    to_step: int = Field(default=0, ge=0)
    from_epoch: int = Field(ge=0)
    epochs: int = Field(ge=0)
