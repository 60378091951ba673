"""Shows a running sweep in MLflow: a listener with a thread of its own, which no trial ever waits for."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import Point, evaluation_points, moment, seconds_so_far
from lossweep.dashboards.mlflow.gathering import (
    StandingWrite,
    SweepWrite,
    TrialWrite,
    Write,
    gathered,
)
from lossweep.dashboards.mlflow.outage import is_outage, reaching
from lossweep.dashboards.mlflow.store import EXPERIMENT, MlflowStore, quiet_mlflow
from lossweep.dashboards.mlflow.system_metrics import start_recorder
from lossweep.dashboards.report.build import build_report
from lossweep.search.addresses import shown, without_secrets
from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.events import (
    ConfirmationStarted,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory, TrialHistory

log = logging.getLogger(__name__)

_TOLD: Final = 200
"""Letters of an error that are said."""


class MlflowListener:
    """A `search.study.events.Listener` that writes a sweep into MLflow.

    Events are queued; one background thread takes those of some seconds and writes what they come to. While
    the store can't be reached they wait, in order, and are tried again; what could not be written by `close`
    is said in the log, and `sync` mends it from the study.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str = EXPERIMENT,
        artifacts: Path | None = None,
        *,
        system_metrics: bool = False,
        report: Callable[[SweepHistory], str] | None = build_report,
        patience: float = 60.0,
        away: float = 15.0,
        retry: tuple[float, float] = (0.5, 15.0),
        stopping: Callable[[], str] = str,
        telling: float = 5.0,
        gather: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to listen; nothing is imported from MLflow and nothing connected before the first event.

        Args:
            tracking_uri: MLflow's store, ``sqlite:///...`` or ``http://...``.
            experiment: the project's experiment.
            artifacts: where a new experiment keeps its artifacts; beside a SQLite store by default.
            system_metrics: also record this machine's CPU, GPU and memory use with the sweep's run.
            report: what builds the report that is stored when the sweep ends; None for none.
            patience: seconds `close` waits while nothing of what is left gets written.
            away: the same where MLflow is known to be away: the driver keeps its sweep meanwhile.
            retry: the first and the longest pause between tries, in seconds.
            stopping: why the sweep is about to stop; empty as long as it is not.
            telling: seconds after which `close` says, again and again, how much is left.
            gather: seconds of events that are written together: a write costs much the same, however much
                it holds.
            clock: seconds, for ``patience`` and ``telling``.
        """
        self._uri, self._experiment, self._artifacts = tracking_uri, experiment, artifacts
        self._system_metrics, self._report, self._patience, self._retry = (
            system_metrics,
            report,
            patience,
            retry,
        )
        self._stopping, self._telling, self._clock = stopping, telling, clock
        self._gather, self._away = gather, away
        self._is_away = False
        self._refusals: set[tuple[str, str]] = set()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._abandon = threading.Event()
        self._store: MlflowStore | None = None
        self._sweep: SweepHistory | None = None
        self._trials: dict[int, TrialHistory] = {}
        self._confirmation: Confirmation | None = None
        self._seconds: dict[int, dict[int, float]] = {}
        """Seconds of work at each step of each trial: known whether or not the step could be written."""
        self._monitor: Any = None
        self._queued = self._written = 0
        self._mended = False
        """Whether the sweep's end wrote all that was refused before."""
        self.dropped = 0
        """Events that MLflow refused."""

    @property
    def pending(self) -> int:
        """Events not written yet."""
        return self._queued - self._written

    @property
    def run(self) -> str | None:
        """The sweep's run in MLflow; None while it could not be made."""
        return self._store.parent if self._store is not None else None

    def handle(self, event: Event) -> None:
        """Queue one event."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lossweep-mlflow", daemon=True)
            self._thread.start()
        self._queued += 1
        self._events.put(event)

    def close(self) -> None:
        """Write what is left, for as long as that gets on, and say how much it is.

        A second Ctrl-C, or the first since the sweep ended, leaves the rest to ``lossweep sync``.
        """
        if self._thread is None:
            return
        self._events.put(None)
        try:
            self._wait(self._thread)
        except KeyboardInterrupt:
            log.warning("Ctrl-C: the rest is not written into MLflow")
        if self._thread.is_alive():
            self._abandon.set()
            self._thread.join(1.0)
        refused = 0 if self._mended else self.dropped
        if self.pending or refused:
            log.warning(
                "MLflow at %s misses %s events of this sweep%s; `lossweep sync%s` writes them from the study",
                shown(self._uri),
                f"{self.pending + refused:,}",
                f", {refused:,} of them refused" if refused else "",
                f" {self._sweep.name}" if self._sweep is not None else "",
            )
        elif self.dropped:
            told = f"{self.dropped:,}"
            log.warning("MLflow refused %s events; what they told was written at the sweep's end", told)
        self._thread = None

    def _wait(self, thread: threading.Thread) -> None:
        """Return when all is written, nothing was for too many seconds, or somebody asks for an end."""
        asked_before, got_on = self._stopping(), self._clock()
        before, told = self._progress, got_on
        while thread.is_alive() and self._stopping() == asked_before:
            thread.join(0.1)
            now = self._clock()
            if self._progress != before:
                before, got_on = self._progress, now
            if now - got_on > (min(self._away, self._patience) if self._is_away else self._patience):
                return
            if now - told > self._telling and self.pending:
                told = now
                log.warning(
                    "MLflow: still to write: %s events; Ctrl-C leaves them to `lossweep sync`",
                    f"{self.pending:,}",
                )

    @property
    def _progress(self) -> tuple[int, int]:
        return self._written, self._store.requests if self._store is not None else 0

    def _run(self) -> None:
        quiet_mlflow()
        going_on = True
        while going_on:
            events = self._told()
            going_on = bool(events) and events[-1] is not None
            for write in gathered(event for event in events if event is not None):
                self._learn(write)
                if self._abandon.is_set() or not self._write_until_done(write):
                    going_on = False
                    break
                self._written += write.events
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None

    def _told(self) -> list[Event | None]:
        """Return the next event with those of the seconds after it; the last is None at the end.

        A sweep's own events are not waited behind.
        """
        events = [self._events.get()]
        until = time.monotonic() + self._gather
        while isinstance(events[-1], TrialStarted | TrialEvaluated | TrialEnded):
            try:
                events.append(self._events.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return events

    def _write_until_done(self, write: Write) -> bool:
        """Write, trying again while the store is away. False when `close` gave up meanwhile."""
        pause, longest = self._retry
        while True:
            try:
                self._write(write)
                self._is_away = False
                return True
            except Exception as error:
                if not is_outage(error):
                    self._is_away = False
                    self.dropped += write.events
                    self._say_refused(error)
                    return True
                if not self._is_away:
                    # Not the error's own text, which may hold the address with its password.
                    log.warning(
                        "MLflow at %s can't be reached (%s); the sweep goes on and its numbers are kept",
                        shown(self._uri),
                        type(error).__name__,
                    )
                    self._is_away = True
            if self._abandon.wait(pause):
                return False
            pause = min(2.0 * pause, longest)

    def _say_refused(self, error: Exception) -> None:
        """Say what MLflow refused, once for each kind of error: it may refuse every event alike."""
        kind = (type(error).__name__, str(error)[:_TOLD])
        if kind in self._refusals:
            return
        self._refusals.add(kind)
        text = without_secrets(str(error), self._uri)
        short = text if len(text) <= _TOLD else f"{text[:_TOLD]}..."
        log.warning("MLflow refused what it was told, and the sweep goes on: %s", short, exc_info=True)

    def _learn(self, write: Write) -> None:
        """Keep what later writes need, whether or not this one can be written."""
        match write:
            case SweepWrite(SweepStarted(sweep) | SweepEnded(sweep)):
                self._sweep = sweep
                self._trials = {trial.number: trial for trial in sweep.recorded}
                self._confirmation = sweep.confirmation
            case SweepWrite(ConfirmationStarted(confirmation)):
                self._confirmation = confirmation
            case TrialWrite(number, started, evaluations, ended):
                if started is not None:
                    self._trials[number] = started
                    steps = [evaluation.step for evaluation in started.evaluations]
                    self._seconds[number] = dict(zip(steps, seconds_so_far(started.evaluations), strict=True))
                clock = self._seconds.setdefault(number, {})
                for evaluation in evaluations:
                    if evaluation.step not in clock:  # else it is told again
                        clock[evaluation.step] = next(reversed(clock.values()), 0.0) + evaluation.seconds
                if ended is not None:
                    self._trials[number] = ended

    def _write(self, write: Write) -> None:
        store = self._connected()
        match write:
            case SweepWrite(SweepStarted(sweep)):
                if sweep.recorded:
                    store.reconcile(sweep)
                else:
                    store.update_sweep(sweep)
                if self._system_metrics and self._monitor is None:
                    self._monitor = start_recorder(store.parent, self._uri)
            case SweepWrite(SweepEnded(sweep)):
                store.reconcile(sweep)
                self._mended = True
                if self._report is not None:
                    store.log_report(self._report(sweep))
            case SweepWrite() | StandingWrite():
                store.update_sweep(self._current())
            case TrialWrite(ended=TrialHistory() as trial):
                store.end_trial(trial, self._current())
            case TrialWrite(number, started, evaluations):
                sweep, trial, points = self._current(), self._trials[number], list[Point]()
                for evaluation in evaluations:
                    at = moment(trial, sweep, self._seconds[number][evaluation.step])
                    points += evaluation_points(evaluation, at)
                if started is not None or number not in store.runs:
                    store.start_trial(trial, sweep, points)
                else:
                    store.log_points(number, points)

    def _current(self) -> SweepHistory:
        if self._sweep is None:
            raise RuntimeError("a sweep's first event must be SweepStarted")
        return self._sweep.holding(self._trials.values(), self._confirmation)

    def _connected(self) -> MlflowStore:
        if self._store is None:
            self._store = MlflowStore(self._uri, self._current(), self._experiment, self._artifacts)
        return self._store


def sync(
    history: SweepHistory,
    tracking_uri: str,
    experiment: str = EXPERIMENT,
    artifacts: Path | None = None,
    *,
    verify: bool = True,
    report: Callable[[SweepHistory], str] | None = build_report,
) -> int:
    """Make MLflow equal the study, number by number, and return how many runs had to be changed.

    Idempotent: a second call changes nothing and returns 0.

    Args:
        history: the sweep as its database has it.
        tracking_uri: MLflow's store.
        experiment: the project's experiment.
        artifacts: where a new experiment keeps its artifacts.
        verify: read every value back, rather than trust the fingerprint left with each run.
        report: what builds the report to store; None for none.

    Raises:
        UserError: when the store can't be reached, or can never work.
    """
    check_store(tracking_uri)
    page = report(history) if report is not None else None
    with reaching(tracking_uri):
        store = MlflowStore(tracking_uri, history, experiment, artifacts)
        changed = store.reconcile(history, verify=verify)
        if page is not None:
            store.log_report(page)
    return changed
