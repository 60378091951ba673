"""The two places where Ray Tune meets the desk: a searcher that hands out, a scheduler that takes reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.faults import Fault, FaultKind
from search.runners.assignment import Report
from search.runners.desk import Desk
from search.runners.tune_cluster import IdleWatch
from search.runners.tune_worker import ASSIGNMENT, REPORT

R = TypeVar("R")

_LOST = Fault(FaultKind.WORKER_LOST, "the worker was lost")


class Clerk:
    """Calls the desk on Tune's behalf and keeps what it raises.

    Tune turns an exception in a searcher or scheduler into text; kept here, the runner raises it as it was.

    Attributes:
        error: what the desk raised; from then on everything stops.
        started: whether any trial runs on an actor right now.
    """

    def __init__(self, desk: Desk, slots: int, watch: IdleWatch) -> None:
        self.desk = desk
        self.slots = slots
        self.error: BaseException | None = None
        self.started = False
        self.attempts: dict[str, str] = {}
        self.losses: dict[str, Fault] = {}
        self.watch = watch

    def call(self, work: Callable[[], R], otherwise: R) -> R:
        """Do ``work``; once something was raised, return ``otherwise``."""
        if self.error is not None:
            return otherwise
        try:
            return work()
        except Exception as error:
            self.error = error
            return otherwise

    @property
    def over(self) -> bool:
        """Nothing is to be started any more."""
        return self.error is not None or self.desk.stop.is_set()

    def __reduce__(self) -> tuple[type[_Nothing], tuple[()]]:
        # Tuner pickles whatever it is given, for a restore that is never made.
        return _Nothing, ()


class _Nothing:
    """What is pickled in place of a clerk."""


class DeskSearcher(Searcher):
    """Suggests the desk's next assignment; a Tune trial is one attempt."""

    def __init__(self, clerk: Clerk) -> None:
        super().__init__(metric=None, mode=None)
        self._clerk = clerk

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Hand out an assignment, or None while all slots are taken, or FINISHED."""
        clerk = self._clerk
        if clerk.error is None and clerk.desk.running >= clerk.slots:
            return None
        assignment = clerk.call(clerk.desk.next, None)
        if assignment is None:
            # What still runs may fault and be handed out again: only the last one finishes the search.
            if clerk.error is None and clerk.desk.running:
                return None
            finished: Any = Searcher.FINISHED  # a word, whatever Ray's own annotation says
            return finished  # type: ignore[no-any-return]
        clerk.attempts[trial_id] = assignment.attempt
        return {ASSIGNMENT: assignment}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take the loss of a worker: everything else was a report."""
        attempt = self._clerk.attempts.pop(trial_id, None)
        if error and attempt is not None:
            fault = self._clerk.losses.pop(trial_id, _LOST)
            self._clerk.call(lambda: self._clerk.desk.faulted(attempt, fault), None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only state."""


class DeskScheduler(FIFOScheduler):
    """Takes reports to the desk, and answers whether the worker goes on."""

    def __init__(self, clerk: Clerk) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Ray
        self._clerk = clerk

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take one report."""
        report: Report = result[REPORT]
        goes_on = self._clerk.call(lambda: self._take(report), False)
        decision: str = TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep Ray's word on how a worker was lost; the searcher is told next."""
        self._clerk.losses[trial.trial_id] = _loss(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Leave the choice to Tune, which starts what is pending in order; called in every round."""
        self._clerk.started = any(
            trial.status == Trial.RUNNING for trial in tune_controller.get_live_trials()
        )
        if self._clerk.started:
            self._clerk.watch.busy()
        else:
            self._clerk.watch.idle(self._clerk.desk.running)

    def _take(self, report: Report) -> bool:
        desk = self._clerk.desk
        if report.fault is not None:
            desk.faulted(report.attempt, report.fault)
            return False
        if report.evaluation is None:
            desk.ended(report.attempt)
            return False
        return desk.evaluated(report.attempt, report.evaluation)


def _loss(trial: Trial) -> Fault:
    """What Ray says about the end of a worker. Tune gives it away only in a file."""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except (OSError, TypeError):
        return _LOST
    lines = [line for line in text.splitlines() if line.strip()][1:]
    if "raised in its creation task" in text:
        return Fault(FaultKind.EXCEPTION, lines[-1].strip(), text)
    facts = dict(line.strip().partition(": ")[::2] for line in lines if line.startswith("\t"))
    said = next((line for line in lines if not line.startswith(("\t", "The actor died"))), "")
    where = f" (process {facts['pid']} on {facts['ip']})" if {"pid", "ip"} <= facts.keys() else ""
    reason = f": {said.partition('. ')[0][:200]}" if said else ""
    return Fault(FaultKind.WORKER_LOST, f"{_LOST.message}{where}{reason}")


class DeskStopper(Stopper):
    """Ends everything once a stop is wanted and no worker is in mid-evaluation, or at once after an error."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never ends a single trial: the scheduler does."""
        return False

    def stop_all(self) -> bool:
        """Whether everything is to end now."""
        return self._clerk.error is not None or (self._clerk.over and not self._clerk.started)
