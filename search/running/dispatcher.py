"""Between the conductor and whatever runs trials: hands out attempts, takes reports, keeps the retry policy.

A runner asks for an `Assignment`, lets a worker train it and brings back what the worker reports. One
assignment is one attempt at one trial; a retry is a new assignment of the same trial. The dispatcher runs
in the driver's main thread, and nothing else writes.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lossweep.search.running.assignment import Assignment
from lossweep.search.running.silence import Awaited, Workers
from lossweep.search.running.stopping import StopRequest
from lossweep.search.running.worker_process import ThisProcess
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.faults import AlikeFailures, Answer, Fault, FaultKind, RetryPolicy, SweepFailed
from lossweep.search.study.outcomes import Observed, Outcome, OutcomeKind
from lossweep.search.study.pace import Pace
from lossweep.search.study.sweep_state import StopKind
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

log = logging.getLogger(__name__)


class Conducts(Protocol):
    """What the dispatcher needs of the conductor."""

    def ask(self) -> TrialPlan | None:
        """The next trial, unfinished ones first; None when the budget is spent."""

    def observe(self, number: int, evaluation: Evaluation) -> Observed:
        """Record an evaluation, decide, and say how the trial ends by it, if it does."""

    def close(self, number: int, outcome: Outcome) -> None:
        """Record the end of a trial."""

    def group(self, number: int) -> str:
        """What such trials are called, in the plural."""

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Record a decision of the dispatcher's own."""


class AttemptLog(Protocol):
    """Where attempts are written: the ledger, or nowhere in a simulation."""

    def start(self, trial: int, micro_batch: int | None) -> str:
        """Write that an attempt starts; return its fencing id."""

    def end(self, attempt: str, fault: Fault | None, message: str) -> None:
        """Write how it ended."""

    def faults(self, trial: int) -> Sequence[FaultKind]:
        """The kinds of the trial's faults so far, those under earlier drivers included."""

    def micro_batch(self, trial: int) -> int | None:
        """The micro-batch of its newest attempt."""


class MemoryAttempts:
    """Attempts that are forgotten with the process: for tests and simulations."""

    def __init__(self) -> None:
        self._trial_of: dict[str, tuple[int, int | None]] = {}
        self._faults: dict[int, list[FaultKind]] = {}

    def start(self, trial: int, micro_batch: int | None) -> str:
        """See `AttemptLog`."""
        attempt = uuid.uuid4().hex
        self._trial_of[attempt] = (trial, micro_batch)
        return attempt

    def end(self, attempt: str, fault: Fault | None, message: str) -> None:
        """See `AttemptLog`."""
        if fault is not None:
            self._faults.setdefault(self._trial_of[attempt][0], []).append(fault.kind)

    def faults(self, trial: int) -> tuple[FaultKind, ...]:
        """See `AttemptLog`."""
        return tuple(self._faults.get(trial, ()))

    def micro_batch(self, trial: int) -> int | None:
        """See `AttemptLog`."""
        known = [batch for number, batch in self._trial_of.values() if number == trial]
        return known[-1] if known else None


@dataclass(slots=True)
class _Running:
    """An attempt that is not over.

    Attributes:
        assignment: what was handed out.
        newest: its newest evaluation.
        heard: when it reported last, or was taken up by a worker; None before that.
        given_up: why its worker was ended.
    """

    assignment: Assignment
    newest: Evaluation | None = None
    heard: float | None = None
    given_up: Fault | None = None

    @property
    def step(self) -> int:
        """Of its newest evaluation, 0 before the first."""
        return self.newest.step if self.newest is not None else 0


class Dispatcher:
    """Hands out attempts and takes reports; see the module.

    Attributes:
        stop: asks the running trials to end at their next evaluation and hands out no more.
        paused: why the sweep has to pause (a full disk, code that was edited meanwhile), or empty.
        job_began: told by the Ray Tune runner which job runs the trials.
        workers: the processes that train; the runner says where they are not this one.
    """

    def __init__(
        self,
        conductor: Conducts,
        *,
        attempts: AttemptLog | None = None,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008  # immutable
        alike: AlikeFailures | None = None,
        stop: StopRequest | None = None,
        check: Callable[[], None] = lambda: None,
        job_began: Callable[[str], None] = lambda job: None,
        share: Callable[[int], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Stand between ``conductor`` and a runner.

        Args:
            conductor: decides.
            attempts: where attempts are written.
            policy: what is tried again.
            alike: stops a sweep whose first trials all fail alike.
            stop: somebody's wish to stop.
            check: raises when this driver may write no more (its lease was lost).
            job_began: told the id of the Ray job that runs the trials, if one does.
            share: how many of so many slots this sweep may hold, where it shares a cluster.
            clock: seconds.
        """
        self.stop = stop or StopRequest()
        self.paused = ""
        self._conductor = conductor
        self._attempts = attempts or MemoryAttempts()
        self._policy = policy
        self._alike = alike or AlikeFailures()
        self._check = check
        self.job_began = job_began
        self._share = share
        self.workers: Workers = ThisProcess()
        self._clock = clock
        self._pace = Pace()
        self._running: dict[str, _Running] = {}
        self._to_retry: deque[TrialPlan] = deque()

    @property
    def running(self) -> int:
        """Attempts handed out and not over."""
        return len(self._running)

    @property
    def awaited(self) -> tuple[Awaited, ...]:
        """The attempts that workers have in hand; asked by any thread."""
        now = self._clock()
        return tuple(
            Awaited(attempt, each.assignment.plan, each.newest, now - each.heard)
            for attempt, each in tuple(self._running.items())
            if each.heard is not None
        )

    @property
    def usual(self) -> float | None:
        """Seconds that an evaluation usually takes."""
        return self._pace.usual

    @property
    def patience(self) -> float:
        """Seconds of silence that are worth a word."""
        return self._pace.patience

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.stop.is_set()

    def allowed(self, slots: int) -> int:
        """Return how many of a cluster's slots this sweep may hold now."""
        return slots if self._share is None else self._share(slots)

    def next(self) -> Assignment | None:
        """Hand out the next attempt; None when there is nothing to start now.

        With nothing running, None means that the runner is done.
        """
        self._check()
        if self.stop.is_set():
            return None
        if self._to_retry:
            plan = self._to_retry.popleft()
        else:
            asked = self._conductor.ask()
            if asked is None:
                return None
            plan = asked
            smaller = self._attempts.micro_batch(plan.number)
            if smaller is not None:
                plan = replace(plan, micro_batch=smaller)
        assignment = Assignment(plan, self._attempts.start(plan.number, plan.micro_batch))
        self._running[assignment.attempt] = _Running(assignment)
        return assignment

    def began(self, attempt: str) -> None:
        """Take note that a worker has an attempt in hand; from now on it is awaited."""
        trial = self._running.get(attempt)
        if trial is not None and trial.heard is None:
            trial.heard = self._clock()

    def give_up(self, attempt: str, fault: Fault) -> None:
        """Take note of why an attempt's worker is being ended; by any thread.

        The runner reports the loss of that worker later, and then this is what it was lost by.
        """
        trial = self._running.get(attempt)
        if trial is not None:
            trial.given_up = fault

    def evaluated(self, attempt: str, evaluation: Evaluation) -> bool:
        """Take an evaluation; return whether the worker goes on."""
        self._check()
        trial = self._running.get(attempt)
        if trial is None:
            log.info("Ignoring a report of an attempt that is over.")
            return False
        number = trial.assignment.plan.number
        trial.newest, trial.heard = evaluation, self._clock()
        self._pace.take(evaluation.seconds)
        outcome = self._conductor.observe(number, evaluation).outcome
        if outcome is None and self.stop.is_set():
            outcome = Outcome(OutcomeKind.INTERRUPTED, self.stop.reason)
        if outcome is None:
            return True
        self._end(attempt, outcome)
        return False

    def ended(self, attempt: str) -> None:
        """Take the end of a worker's evaluations; a trainer that stops short of its budget has failed."""
        if attempt in self._running:
            self.faulted(
                attempt, Fault(FaultKind.EXCEPTION, "the trainer stopped before the trial's budget was spent")
            )

    def faulted(self, attempt: str, fault: Fault) -> None:
        """Take a fault; the trial is handed out again, or ends, as the policy says."""
        self._check()
        trial = self._running.get(attempt)
        if trial is None:
            return
        plan = trial.assignment.plan
        if fault.kind is FaultKind.WORKER_LOST:
            fault = trial.given_up or fault
        answer = self._policy.answer(fault, self._attempts.faults(plan.number), plan.images_a_pass)
        match answer:
            case Answer.FAIL:
                self._end(
                    attempt, Outcome(OutcomeKind.FAILED, fault.message, traceback=fault.traceback), fault
                )
                return
            case Answer.PAUSE:
                self.paused = fault.message
                self.stop.set(f"paused: {fault.message}", StopKind.PAUSED)
                self._end(attempt, Outcome(OutcomeKind.INTERRUPTED, fault.message), fault)
                return
            case Answer.HALVE:
                plan = plan.halved() or plan
                what = f"tried again with a micro-batch of {plan.micro_batch}"
            case Answer.RESUME:
                what = "resumed from its newest checkpoint"
        del self._running[attempt]
        self._attempts.end(attempt, fault, "")
        retry = DecisionRecord(trial.step, Decision.RETRY, f"{fault.message}; {what}")
        self._conductor.record_decision(plan.number, retry)
        log.warning("Trial %d: %s; %s.", plan.number, fault.message, what)
        if self.stop.is_set():
            self._conductor.close(plan.number, Outcome(OutcomeKind.INTERRUPTED, self.stop.reason))
        else:
            self._to_retry.append(plan)

    def take_back(self, reason: str) -> None:
        """Take back what was handed out, to hand it out again: the workers are gone, by no trial's fault."""
        for attempt, trial in list(self._running.items()):
            del self._running[attempt]
            self._attempts.end(attempt, None, reason)
            plan = trial.assignment.plan
            what = f"{reason}; resumed from its newest checkpoint"
            self._conductor.record_decision(plan.number, DecisionRecord(trial.step, Decision.RETRY, what))
            self._to_retry.append(plan)

    def interrupt_all(self, reason: str) -> None:
        """Close what runs or is to be tried again as interrupted; it goes on when the sweep is resumed."""
        for attempt in list(self._running):
            self._end(attempt, Outcome(OutcomeKind.INTERRUPTED, reason))
        while self._to_retry:
            self._conductor.close(self._to_retry.popleft().number, Outcome(OutcomeKind.INTERRUPTED, reason))

    def _end(self, attempt: str, outcome: Outcome, fault: Fault | None = None) -> None:
        number = self._running.pop(attempt).assignment.plan.number
        self._conductor.close(number, outcome)
        self._attempts.end(attempt, fault, outcome.reason)
        if outcome.kind is OutcomeKind.FAILED:
            try:
                self._alike.ended(fault, self._conductor.group(number))
            except SweepFailed:
                self.stop.set("the first trials failed alike", StopKind.FAILURE)
                raise
        elif outcome.kind is not OutcomeKind.INTERRUPTED:
            self._alike.ended(None, self._conductor.group(number))
