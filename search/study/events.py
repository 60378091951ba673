"""What happens in a sweep, told to whoever listens: MLflow, the progress display, a test."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.trainers.evaluation import Evaluation

_logger = logging.getLogger(__name__)


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
class ConfirmationStarted:
    """The search is over and its leaders are trained again: which, and what was done before."""

    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class SweepEnded:
    """The driver lets the sweep go: finished, interrupted, stopped or failed (``sweep.state``)."""

    sweep: SweepHistory


Event = SweepStarted | TrialStarted | TrialEvaluated | TrialEnded | ConfirmationStarted | SweepEnded


class Listener(Protocol):
    """Gets every event, in order, in the driver's process.

    ``handle`` must be quick and is never allowed to stop a sweep: what it raises is logged, once a listener.
    """

    def handle(self, event: Event) -> None:
        """Take one event."""

    def close(self) -> None:
        """Flush what is pending; called once, at the end."""


class ListenerGroup:
    """The listeners of a sweep. One that raises is logged once and goes on being told."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self._logged: set[int] = set()

    def tell(self, event: Event) -> None:
        """Give every listener an event."""
        for listener in self._listeners:
            try:
                listener.handle(event)
            except Exception:
                self._log(listener)

    def close(self) -> None:
        """Let every listener flush."""
        for listener in self._listeners:
            try:
                listener.close()
            except Exception:
                self._log(listener)

    def _log(self, listener: Listener) -> None:
        if id(listener) not in self._logged:
            self._logged.add(id(listener))
            _logger.exception("%s failed; the sweep goes on", type(listener).__name__)
