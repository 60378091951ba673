"""Where Ray Tune meets the dispatcher: a searcher hands out, a scheduler takes reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from lossweep.search.running.assignment import Report
from lossweep.search.running.tune.calls import Dispatches
from lossweep.search.running.tune.cluster import IdleWatch
from lossweep.search.running.tune.ray_private import actors_with_resources, release_idle_actors
from lossweep.search.running.tune.worker import ASSIGNMENT, REPORT
from lossweep.search.running.tune.workers import RayWorkers
from lossweep.search.study.faults import DeviceLost, Fault, FaultKind

_LOST = Fault(FaultKind.WORKER_LOST, "the worker was lost")
_NODE_DIED: Final = "The actor died because its node has died"
"""Ray's words, where its cluster had noticed by then."""


class TuneBridge:
    """What the searcher and the scheduler share: the driver's dispatcher, and which attempt is which.

    Attributes:
        dispatcher: in the driver.
        slots: tells how many attempts fit on the cluster side by side, as it is now.
        parallel: attempts at a time; None for as many as fit.
        watch: says when nothing runs for long.
        started: whether any trial runs on an actor right now.
        limited: whether other sweeps on the cluster keep this one from starting more.
        yielded: whether the search ended so that they can go on; it is to be taken up again.
        attempts: the attempt that a Tune trial is, by its Tune id.
        faults_of_lost: what Ray said of a worker that was lost, by Tune id, until the searcher is told.
    """

    def __init__(
        self,
        dispatcher: Dispatches,
        slots: Callable[[], int],
        watch: IdleWatch,
        workers: RayWorkers,
        parallel: int | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.slots = slots
        self.parallel = parallel
        self.started = self.limited = self.yielded = False
        self.attempts: dict[str, str] = {}
        self.faults_of_lost: dict[str, Fault] = {}
        self.watch = watch
        self.workers = workers
        self._pending: set[str] = set()

    def hand_out(self, trial_id: str, attempt: str) -> None:
        """Note that a Tune trial is an attempt, which no worker has in hand yet."""
        self.attempts[trial_id] = attempt
        self._pending.add(trial_id)

    def take_note(self, running: set[str]) -> None:
        """Tell the dispatcher of the attempts that workers have taken up since.

        Tune counts a trial as running when its worker has loaded the data; that may hang, too.

        Args:
            running: the Tune trials that run.
        """
        self._pending &= self.attempts.keys()
        for trial_id in tuple(self._pending):
            attempt = self.attempts[trial_id]
            if trial_id in running or self.workers.has(attempt):
                self._pending.discard(trial_id)
                self.dispatcher.began(attempt)

    def __reduce__(self) -> tuple[type[_NotRestored], tuple[()]]:
        # Tuner pickles whatever it is given, for a restore that is never made.
        return _NotRestored, ()


class _NotRestored:
    """What is pickled in place of what holds the dispatcher."""


class DispatchSearcher(Searcher):
    """Suggests the dispatcher's next assignment; a Tune trial is one attempt."""

    def __init__(self, bridge: TuneBridge) -> None:
        super().__init__(metric=None, mode=None)
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Hand out an assignment, or None while all slots are taken, or FINISHED."""
        bridge = self._bridge
        running, slots = bridge.dispatcher.running, bridge.slots()
        finished: Any = Searcher.FINISHED  # a word, whatever Ray's own annotation says
        if running >= min(slots, bridge.parallel or slots):
            return None
        if not bridge.dispatcher.stopping:
            bridge.limited = running >= bridge.dispatcher.allowed(slots)
        if bridge.limited:
            if running:
                return None
            bridge.yielded = True  # an actor that waited for the next turn would hold its resources
            return finished  # type: ignore[no-any-return]
        assignment = bridge.dispatcher.next()
        if assignment is None:
            # What still runs may fault and be handed out again: only the last one finishes the search.
            if bridge.dispatcher.running:
                return None
            return finished  # type: ignore[no-any-return]
        bridge.hand_out(trial_id, assignment.attempt)
        return {ASSIGNMENT: assignment}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take the loss of a worker: everything else was a report."""
        attempt = self._bridge.attempts.pop(trial_id, None)
        if error and attempt is not None:
            fault = self._bridge.faults_of_lost.pop(trial_id, _LOST)
            self._bridge.dispatcher.faulted(attempt, fault)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only state."""


class DispatchScheduler(FIFOScheduler):
    """Takes reports to the dispatcher, and answers whether the worker goes on."""

    def __init__(self, bridge: TuneBridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Ray
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take one report."""
        decision: str = TrialScheduler.CONTINUE if self._report(result[REPORT]) else TrialScheduler.STOP
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep Ray's word on how a worker was lost; the searcher is told next."""
        fault, attempt = _fault_of_lost(trial), self._bridge.attempts.get(trial.trial_id)
        if fault.kind is FaultKind.WORKER_LOST and attempt and self._bridge.workers.machine_is_gone(attempt):
            fault = Fault(FaultKind.NODE_LOST, "its machine went away")
        self._bridge.faults_of_lost[trial.trial_id] = fault

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Leave the choice to Tune, which starts what is pending in order; called in every round."""
        bridge = self._bridge
        running = {t.trial_id for t in tune_controller.get_live_trials() if t.status == Trial.RUNNING}
        bridge.started = bool(running)
        bridge.take_note(running)
        # A worker that holds its resources waits for nobody, however long its libraries and data take.
        if running or actors_with_resources(tune_controller):
            bridge.watch.busy()
        else:
            bridge.watch.idle(bridge.dispatcher.running)
        if bridge.limited:
            release_idle_actors(tune_controller)

    def _report(self, report: Report) -> bool:
        dispatcher = self._bridge.dispatcher
        if report.fault is not None:
            dispatcher.faulted(report.attempt, report.fault)
            return False
        if report.evaluation is None:
            dispatcher.ended(report.attempt)
            return False
        return dispatcher.evaluated(report.attempt, report.evaluation)


def _fault_of_lost(trial: Trial) -> Fault:
    """What Ray says about the end of a worker. Tune gives it away only in a file."""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except (OSError, TypeError):
        return _LOST
    lines = [line for line in text.splitlines() if line.strip()][1:]
    if "raised in its creation task" in text:
        return Fault(FaultKind.EXCEPTION, lines[-1].strip(), text)
    if gone := [line for line in lines if DeviceLost.__name__ in line]:
        return Fault(
            FaultKind.WORKER_LOST, f"a worker lost its GPU: {gone[-1].partition(': ')[2].strip()}", text
        )
    if _NODE_DIED in text:
        why = next((line.strip() for line in lines if "the actor's node was " in line), "").partition(": ")[0]
        said = why.removeprefix("the actor's node was ")
        return Fault(FaultKind.NODE_LOST, f"its machine went away{f' ({said})' if said else ''}")
    facts = dict(line.strip().partition(": ")[::2] for line in lines if line.startswith("\t"))
    said = next((line for line in lines if not line.startswith(("\t", "The actor died"))), "")
    where = f" (process {facts['pid']} on {facts['ip']})" if {"pid", "ip"} <= facts.keys() else ""
    reason = f": {said.partition('. ')[0][:200]}" if said else ""
    return Fault(FaultKind.WORKER_LOST, f"{_LOST.message}{where}{reason}")


class DispatchStopper(Stopper):
    """Ends everything once a stop is wanted and no worker is in mid-evaluation."""

    def __init__(self, bridge: TuneBridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never ends a single trial: the scheduler does."""
        return False

    def stop_all(self) -> bool:
        """Whether everything is to end now."""
        return not self._bridge.started and self._bridge.dispatcher.stopping
