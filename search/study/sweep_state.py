"""How a sweep stands, what it may become next, and who or what may ask it to stop."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class SweepState(StrEnum):
    """How a sweep stands. The text is what stands in the database and is printed."""

    CREATED = "created"
    """Written, and not yet taken up by a driver."""
    RUNNING = "running"
    """A driver has it. One that died leaves this in the database; read, such a sweep is interrupted."""
    FINISHED = "finished"
    """Its budget is spent."""
    INTERRUPTED = "interrupted"
    """Its driver ended before its budget did."""
    STOPPED = "stopped"
    """A user asked for its end with ``lossweep stop``."""
    FAILED = "failed"
    """Its first trials failed alike, or its driver raised an error."""

    @property
    def is_end(self) -> bool:
        """Whether its driver has let it go."""
        return self in _ENDS

    def may_become(self, state: SweepState) -> bool:
        """Whether ``state`` may follow; the same state always may, so that a write can be repeated."""
        return state is self or state in _FOLLOWING[self]


_ENDS = frozenset({SweepState.FINISHED, SweepState.INTERRUPTED, SweepState.STOPPED, SweepState.FAILED})

_FOLLOWING: Mapping[SweepState, frozenset[SweepState]] = {
    SweepState.CREATED: frozenset({SweepState.RUNNING}),
    SweepState.RUNNING: _ENDS,
    # Whatever has ended may be resumed: a finished sweep too, with a larger budget.
    **{end: frozenset({SweepState.RUNNING}) for end in _ENDS},
}


class IllegalTransition(RuntimeError):
    """A sweep was to enter a state that cannot follow upon the one it is in: a mistake of the caller."""

    def __init__(self, sweep: str, before: SweepState, after: SweepState) -> None:
        super().__init__(f"sweep {sweep} is {before} and cannot become {after}")


class StopKind(StrEnum):
    """Who or what asks a running sweep to stop."""

    SIGNAL = "signal"
    """Ctrl-C or another signal."""
    CALLER = "caller"
    """The program that runs the sweep, through the `StopRequest` that it passed."""
    USER = "user"
    """``lossweep stop``, from any process."""
    PAUSED = "paused"
    """The disk is full, this process lost its GPU, or the user's code changed: what was recorded waits."""
    LEASE_LOST = "lease_lost"
    """Another driver took the sweep over; this one writes nothing more."""
    FAILURE = "failure"
    """The first trials failed alike."""

    @property
    def leads_to(self) -> SweepState:
        """The state of a sweep that ends by such a request with trials left to run."""
        match self:
            case StopKind.USER:
                return SweepState.STOPPED
            case StopKind.FAILURE:
                return SweepState.FAILED
            case _:
                return SweepState.INTERRUPTED
