"""What happens in a sweep, told to whoever listens: MLflow, the progress display, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from search.history import DecisionRecord, SweepHistory, TrialHistory
from trainers.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class SweepStarted:
    """The driver took the sweep up. ``sweep`` holds the trials of earlier drivers."""

    sweep: SweepHistory


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial starts, or goes on (then ``trial.evaluations`` is not empty)."""

    trial: TrialHistory


@dataclass(frozen=True, slots=True)
class TrialEvaluated:
    """A new evaluation was recorded, and decided upon."""

    number: int
    evaluation: Evaluation
    decision: DecisionRecord


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial ended; everything recorded of it is in ``trial``."""

    trial: TrialHistory


@dataclass(frozen=True, slots=True)
class SweepEnded:
    """The driver lets the sweep go: finished, interrupted, stopped or failed (``sweep.state``)."""

    sweep: SweepHistory


Event = SweepStarted | TrialStarted | TrialEvaluated | TrialEnded | SweepEnded


class Listener(Protocol):
    """Gets every event, in order, in the driver's process.

    ``handle`` must be quick and is never allowed to stop a sweep: what it raises is logged, once a listener.
    """

    def handle(self, event: Event) -> None:
        """Take one event."""

    def close(self) -> None:
        """Flush what is pending; called once, at the end."""
