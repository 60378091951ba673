"""Shows a running sweep in MLflow: a listener with a thread of its own, which no trial ever waits for."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import evaluation_points, moment, seconds_so_far
from lossweep.dashboards.mlflow.outage import is_outage, reaching, without_secret
from lossweep.dashboards.mlflow.store import EXPERIMENT, MlflowStore, quiet_mlflow
from lossweep.dashboards.mlflow.system_metrics import start_recorder
from lossweep.dashboards.report.build import build_report
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


class MlflowListener:
    """A `search.study.events.Listener` that writes a sweep into MLflow.

    Events are queued and written by one background thread. While the store can't be reached they wait, in
    order, and are tried again; what could not be written by `close` is said in the log, and `sync` mends it
    from the study.
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
        retry: tuple[float, float] = (0.5, 15.0),
    ) -> None:
        """Prepare to listen; nothing is imported from MLflow and nothing connected before the first event.

        Args:
            tracking_uri: MLflow's store, ``sqlite:///...`` or ``http://...``.
            experiment: the project's experiment.
            artifacts: where a new experiment keeps its artifacts; beside a SQLite store by default.
            system_metrics: also record this machine's CPU, GPU and memory use with the sweep's run.
            report: what builds the report that is stored when the sweep ends; None for none.
            patience: seconds `close` waits for what is not written yet.
            retry: the first and the longest pause between tries, in seconds.
        """
        self._uri, self._experiment, self._artifacts = tracking_uri, experiment, artifacts
        self._system_metrics, self._report, self._patience, self._retry = (
            system_metrics,
            report,
            patience,
            retry,
        )
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._abandon = threading.Event()
        self._store: MlflowStore | None = None
        self._sweep: SweepHistory | None = None
        self._trials: dict[int, TrialHistory] = {}
        self._confirmation: Confirmation | None = None
        self._clock: dict[int, dict[int, float]] = {}
        """Seconds of work at each step of each trial: known whether or not the step could be written."""
        self._monitor: Any = None
        self._queued = self._written = 0
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
        """Wait until everything is written, but no longer than ``patience``."""
        if self._thread is None:
            return
        self._events.put(None)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._abandon.set()
            self._thread.join(1.0)
        if self.pending or self.dropped:
            log.warning(
                "MLflow at %s misses %d events of this sweep; `lossweep sync` writes them from the study.",
                without_secret(self._uri),
                self.pending + self.dropped,
            )
        self._thread = None

    def _run(self) -> None:
        quiet_mlflow()
        while (event := self._events.get()) is not None:
            if not self._write_until_done(event):
                break
            self._written += 1
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None

    def _write_until_done(self, event: Event) -> bool:
        """Write one event, trying again while the store is away. False when `close` gave up meanwhile."""
        pause, longest = self._retry
        warned = False
        while True:
            try:
                self._write(event)
                return True
            except Exception as error:
                if not is_outage(error):
                    self.dropped += 1
                    log.warning("MLflow refused a %s event: %s", type(event).__name__, error, exc_info=True)
                    return True
                if not warned:
                    # Not the error's own text, which may hold the address with its password.
                    log.warning(
                        "MLflow at %s can't be reached (%s); the sweep goes on and its numbers are kept",
                        without_secret(self._uri),
                        type(error).__name__,
                    )
                    warned = True
            if self._abandon.wait(pause):
                return False
            pause = min(2.0 * pause, longest)

    def _write(self, event: Event) -> None:
        match event:
            case SweepStarted(sweep):
                self._take(sweep)
                store = self._connected()
                if sweep.recorded:
                    store.reconcile(sweep)
                else:
                    store.update_sweep(sweep)
                if self._system_metrics and self._monitor is None:
                    self._monitor = start_recorder(store.parent, self._uri)
            case TrialStarted(trial):
                self._trials[trial.number] = trial
                steps = [evaluation.step for evaluation in trial.evaluations]
                self._clock[trial.number] = dict(zip(steps, seconds_so_far(trial.evaluations), strict=True))
                self._connected().start_trial(trial, self._current())
            case TrialEvaluated(number, evaluation, _):
                clock = self._clock.setdefault(number, {})
                if evaluation.step not in clock:  # else it is told or tried again
                    clock[evaluation.step] = next(reversed(clock.values()), 0.0) + evaluation.seconds
                at = moment(self._trials[number], self._current(), clock[evaluation.step])
                self._connected().log_points(number, evaluation_points(evaluation, at))
            case TrialEnded(trial):
                self._trials[trial.number] = trial
                self._connected().end_trial(trial, self._current())
                self._connected().update_sweep(self._current())
            case ConfirmationStarted(confirmation):
                self._confirmation = confirmation
                self._connected().update_sweep(self._current())
            case SweepEnded(sweep):
                self._take(sweep)
                self._connected().reconcile(sweep)
                if self._report is not None:
                    self._connected().log_report(self._report(sweep))

    def _take(self, sweep: SweepHistory) -> None:
        self._sweep = sweep
        self._trials = {trial.number: trial for trial in sweep.recorded}
        self._confirmation = sweep.confirmation

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
