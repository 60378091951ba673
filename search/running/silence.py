"""Keeps an eye on attempts that report nothing for long: says where they stand, and ends them at a limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Protocol

from lossweep.search.running.stopping import StopRequest
from lossweep.search.running.worker_process import Sight
from lossweep.search.study.faults import Fault, FaultKind
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

log = logging.getLogger(__name__)

_LOOKS_EVERY_S: Final = 1.0


class Workers(Protocol):
    """The processes that have attempts in hand."""

    def look(self, attempt: str) -> Sight | None:
        """What the one of an attempt is at; None when it cannot be known."""

    def end(self, attempt: str) -> bool:
        """End the one of an attempt, and say whether that was done."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """An attempt that a worker has in hand.

    Attributes:
        attempt: its id.
        plan: of its trial.
        newest: the trial's newest evaluation; None before its first.
        silent: seconds since it reported, or was taken up.
    """

    attempt: str
    plan: TrialPlan
    newest: Evaluation | None
    silent: float

    def __str__(self) -> str:
        """Say which trial this is and where it stood when it last reported."""
        e = self.newest
        if e is None:
            first = self.plan.schedule.phases[0].loss_name
            return f"trial {self.plan.number}, before its first evaluation, phase 1 ({first})"
        place = f"phase {e.phase + 1} ({e.loss_name}), cycle {e.cycle + 1}"
        when = "after" if e.phase_ended else "in"
        return f"trial {self.plan.number}, after step {e.step} (epoch {e.epoch}/{e.epochs}), {when} {place}"


class Awaits(Protocol):
    """What is needed of the dispatcher."""

    workers: Workers
    stop: StopRequest

    @property
    def awaited(self) -> tuple[Awaited, ...]:
        """The attempts that workers have in hand."""

    @property
    def usual(self) -> float | None:
        """Seconds of a usual evaluation; see `search.study.pace.Pace`."""

    @property
    def patience(self) -> float:
        """Seconds of silence that are worth a word."""

    def give_up(self, attempt: str, fault: Fault) -> None:
        """Take note of why an attempt's worker is ended; its loss is reported by the runner."""


class SilenceWatch:
    """Looks now and then, in a thread of its own, while the ``with`` block lasts.

    What it says or does, it says or does again when the silence has doubled.
    """

    def __init__(
        self, dispatcher: Awaits, limit_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare to watch.

        Args:
            dispatcher: knows what is awaited.
            limit_s: seconds after which a silent worker counts as lost and is ended; None for never.
            clock: seconds.
        """
        self._dispatcher, self._limit, self._clock = dispatcher, limit_s, clock
        self._said: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._told_stop = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)

    def __enter__(self) -> SilenceWatch:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join(timeout=5.0)

    def look(self) -> None:
        """Look once at everything that is awaited."""
        silences: dict[str, float] = {}
        awaited = self._dispatcher.awaited
        if self._dispatcher.stop.is_set() and not self._told_stop:
            self._told_stop = True
            waits = "; ".join(f"{each}, {_words(each.silent)} so far" for each in awaited) or "nothing"
            log.info(
                "Stopping (%s). The next evaluation is awaited of: %s.", self._dispatcher.stop.reason, waits
            )
        for each in awaited:
            silences[each.attempt] = each.silent
            if self._limit is not None and each.silent >= self._due(self._ended, each, self._limit):
                self._ended[each.attempt] = each.silent
                self._end(each, self._limit)
            elif each.silent >= self._due(self._said, each, self._dispatcher.patience):
                self._said[each.attempt] = each.silent
                self._say(each)
        for told in (self._said, self._ended):
            for attempt in [a for a, silent in told.items() if silences.get(a, 0.0) < silent]:
                del told[attempt]  # it is over, or has reported since

    def _due(self, told: dict[str, float], awaited: Awaited, first: float) -> float:
        """The silence at which something is to be done, for the first time or again."""
        return max(first, 2.0 * told.get(awaited.attempt, 0.0))

    def _say(self, awaited: Awaited) -> None:
        sight = self._dispatcher.workers.look(awaited.attempt)
        usual = self._dispatcher.usual
        than = f"an evaluation usually takes {_words(usual)}" if usual else "none has come yet in this sweep"
        log.warning(
            "No evaluation for %s (%s) from %s: %s%s.",
            _words(awaited.silent),
            than,
            awaited,
            sight or "its worker is not known",
            self._remedy(sight),
        )
        _log_stack(awaited, sight)

    def _remedy(self, sight: Sight | None) -> str:
        """What the person could do; nothing where trials are trained in this process."""
        if sight is None or not sight.state or not sight.process.node:
            return ""
        pid = sight.process.pid
        goes_on = f"kill -CONT {pid} lets it go on; " if sight.state == "T" else ""
        by_itself = "" if self._limit else "; to have that done by itself: resources.evaluation_minutes"
        return f". {goes_on}kill -9 {pid} has the trial tried again from its newest checkpoint{by_itself}"

    def _end(self, awaited: Awaited, limit: float) -> None:
        sight = self._dispatcher.workers.look(awaited.attempt)
        message = f"no evaluation within resources.evaluation_minutes ({limit / 60.0:g})"
        log.warning("%s from %s: %s, and is ended.", message.capitalize(), awaited, sight or "its worker")
        _log_stack(awaited, sight)
        stack = f"{sight.stack.text}" if sight is not None and sight.stack is not None else ""
        self._dispatcher.give_up(awaited.attempt, Fault(FaultKind.WORKER_LOST, message, stack))
        if not self._dispatcher.workers.end(awaited.attempt):
            log.warning("The worker of trial %d could not be ended.", awaited.plan.number)

    def _watch(self) -> None:
        while not self._over.wait(_LOOKS_EVERY_S):
            try:
                self.look()
            except Exception:
                # A look that fails (a card half gone, Ray shutting down) must not end the watch.
                log.info("A look at silent workers failed.", exc_info=True)


def _log_stack(awaited: Awaited, sight: Sight | None) -> None:
    if sight is not None and sight.stack is not None:
        log.info("Where the worker of trial %d stands:\n%s", awaited.plan.number, sight.stack.text)


def _words(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10.0 else str(timedelta(seconds=round(seconds)))
