from __future__ import annotations

from collections.abc import Callable

import pytest

from lossweep.search.ledger.lease import LeaseLost
from lossweep.search.running.dispatcher import Dispatcher, MemoryAttempts
from lossweep.search.running.stopping import StopRequest
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.faults import Fault, FaultKind, RetryPolicy
from lossweep.search.study.outcomes import Observed, Outcome, OutcomeKind, outcome_by
from lossweep.search.study.sweep_state import StopKind
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.spaces.schedules.schedule import LossSchedule, Phase
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

LOST = Fault(FaultKind.WORKER_LOST, "the worker was lost")
FULL = Fault(FaultKind.OUT_OF_MEMORY, "OutOfMemory: full")
CHANGED = Fault(FaultKind.CODE_CHANGED, "the code has changed")
GONE = Fault(FaultKind.DEVICE_LOST, "device-side assert")
DISK = Fault(FaultKind.DISK_FULL, "no space left")


def plan(number: int) -> TrialPlan:
    schedule = LossSchedule(phases=(Phase(loss=CrossEntropy(), learning_rate=1e-3, epochs=2),))
    return TrialPlan(
        number=number,
        seed=number,
        schedule=schedule,
        data=ScenesSource(source="scenes"),
        model=ModelSpec(),
        training=TrainingSpec(batch=8),
        guards=GuardSpec(),
        measure=MeasureSpec(),
    )


def evaluation(step: int) -> Evaluation:
    return Evaluation(step, step, 2, 0, 0, "cross_entropy", 1e-3, {"ap": 0.5}, finished=step == 2)


class Conductor:
    """Hands out two trials; prunes what it is told to."""

    def __init__(self) -> None:
        self.closed: dict[int, Outcome] = {}
        self.observed: list[tuple[int, int]] = []
        self.notes: list[DecisionRecord] = []
        self.prune = False
        self._left = [plan(0), plan(1)]

    def ask(self) -> TrialPlan | None:
        return self._left.pop(0) if self._left else None

    def observe(self, number: int, evaluation: Evaluation) -> Observed:
        self.observed.append((number, evaluation.step))
        action = Decision.PRUNE if self.prune else Decision.CONTINUE
        decision = DecisionRecord(evaluation.step, action, "because", {"x": 1.0})
        return Observed(decision, outcome_by(decision, evaluation.finished))

    def close(self, number: int, outcome: Outcome) -> None:
        assert number not in self.closed
        self.closed[number] = outcome

    def group(self, number: int) -> str:
        return "proposals"

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        self.notes.append(decision)


@pytest.fixture
def conductor() -> Conductor:
    return Conductor()


def test_a_trial_is_handed_out_followed_and_ended(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    assert dispatcher.evaluated(first.attempt, evaluation(1))
    assert not dispatcher.evaluated(first.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED
    assert dispatcher.next() is not None
    assert dispatcher.next() is None
    assert dispatcher.running == 1


def test_a_pruned_trial_ends_with_the_pruners_figures(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    conductor.prune = True
    assert not dispatcher.evaluated(first.attempt, evaluation(1))
    assert conductor.closed[0] == Outcome(OutcomeKind.PRUNED, "because", {"x": 1.0})


def test_what_an_old_attempt_reports_is_ignored(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    old = dispatcher.next()
    assert old is not None
    dispatcher.evaluated(old.attempt, evaluation(1))
    dispatcher.faulted(old.attempt, LOST)
    new = dispatcher.next()
    assert new is not None
    assert new.plan.number == 0
    assert new.attempt != old.attempt
    # The orphan goes on, as if nothing had happened.
    assert not dispatcher.evaluated(old.attempt, evaluation(2))
    dispatcher.faulted(old.attempt, LOST)
    dispatcher.ended(old.attempt)
    assert conductor.closed == {}
    assert conductor.observed == [(0, 1)]
    assert not dispatcher.evaluated(new.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED
    assert [(one.step, one.action) for one in conductor.notes] == [(1, "retry")]


def test_memory_is_tried_once_with_half_the_micro_batch(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    dispatcher.faulted(first.attempt, FULL)
    second = dispatcher.next()
    assert second is not None
    assert (second.plan.number, second.plan.micro_batch) == (0, 4)
    dispatcher.faulted(second.attempt, LOST)
    third = dispatcher.next()
    assert third is not None
    assert third.plan.micro_batch == 4
    dispatcher.faulted(third.attempt, FULL)
    assert conductor.closed[0].kind is OutcomeKind.FAILED


def test_a_worker_lost_too_often_fails(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor, policy=RetryPolicy(max_failures=1))
    for _ in range(2):
        assignment = dispatcher.next()
        assert assignment is not None
        assert assignment.plan.number == 0
        dispatcher.faulted(assignment.attempt, LOST)
    assert conductor.closed[0] == Outcome(OutcomeKind.FAILED, LOST.message)


def test_a_trainer_that_stops_short_has_failed(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    dispatcher.ended(first.attempt)
    assert conductor.closed[0].kind is OutcomeKind.FAILED
    assert "before the trial's budget" in conductor.closed[0].reason


def test_a_stop_ends_trials_at_their_next_evaluation(conductor: Conductor) -> None:
    stop = StopRequest()
    dispatcher = Dispatcher(conductor, stop=stop)
    first = dispatcher.next()
    assert first is not None
    stop.set("lossweep stop x", StopKind.USER)
    stop.set("another reason", StopKind.SIGNAL)
    assert stop.kind is StopKind.USER
    assert dispatcher.next() is None
    assert not dispatcher.evaluated(first.attempt, evaluation(1))
    assert conductor.closed[0] == Outcome(OutcomeKind.INTERRUPTED, "lossweep stop x")
    assert conductor.observed == [(0, 1)]  # recorded, not thrown away


def test_a_trial_that_ends_by_itself_under_a_stop_is_completed(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    dispatcher.stop.set("stop")
    dispatcher.evaluated(first.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED


def test_a_fault_under_a_stop_leaves_the_trial_to_the_next_driver(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first = dispatcher.next()
    assert first is not None
    dispatcher.stop.set("stop")
    dispatcher.faulted(first.attempt, LOST)
    assert conductor.closed[0].kind is OutcomeKind.INTERRUPTED
    assert dispatcher.running == 0


@pytest.mark.parametrize("fault", [DISK, CHANGED, GONE], ids=lambda fault: fault.kind)
def test_a_full_disk_edited_code_or_a_lost_gpu_pauses_everything(conductor: Conductor, fault: Fault) -> None:
    dispatcher = Dispatcher(conductor)
    first, second = dispatcher.next(), dispatcher.next()
    assert first is not None
    assert second is not None
    dispatcher.faulted(first.attempt, fault)
    assert (dispatcher.paused, dispatcher.stop.kind) == (fault.message, StopKind.PAUSED)
    assert dispatcher.next() is None
    assert not dispatcher.evaluated(second.attempt, evaluation(1))
    assert {one.kind for one in conductor.closed.values()} == {OutcomeKind.INTERRUPTED}


def test_at_the_end_nothing_is_left_open(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    first, second = dispatcher.next(), dispatcher.next()
    assert first is not None
    assert second is not None
    dispatcher.faulted(first.attempt, LOST)
    dispatcher.interrupt_all("over")
    assert set(conductor.closed) == {0, 1}
    assert {one.kind for one in conductor.closed.values()} == {OutcomeKind.INTERRUPTED}


@pytest.mark.parametrize(
    "use",
    [
        lambda dispatcher, attempt: dispatcher.next(),
        lambda dispatcher, attempt: dispatcher.evaluated(attempt, evaluation(1)),
        lambda dispatcher, attempt: dispatcher.faulted(attempt, LOST),
    ],
)
def test_a_driver_that_lost_its_lease_writes_nothing(
    conductor: Conductor, use: Callable[[Dispatcher, str], object]
) -> None:
    lost = False

    def check() -> None:
        if lost:
            raise LeaseLost("taken over")

    dispatcher = Dispatcher(conductor, check=check)
    first = dispatcher.next()
    assert first is not None
    lost = True
    with pytest.raises(LeaseLost):
        use(dispatcher, first.attempt)
    assert conductor.observed == []
    assert conductor.closed == {}


def test_what_was_handed_out_is_taken_back_and_handed_out_again_at_nobodys_expense(
    conductor: Conductor,
) -> None:
    attempts = MemoryAttempts()
    dispatcher = Dispatcher(conductor, attempts=attempts, policy=RetryPolicy(0))
    first, second = dispatcher.next(), dispatcher.next()
    assert first is not None
    assert second is not None
    dispatcher.evaluated(first.attempt, evaluation(1))
    dispatcher.take_back("the Ray cluster was lost: Ray's raylet ended")
    assert (dispatcher.running, dispatcher.awaited) == (0, ())
    assert [note.step for note in conductor.notes] == [1, 0]
    assert {note.action for note in conductor.notes} == {Decision.RETRY}
    assert all("raylet ended; resumed from its newest checkpoint" in note.reason for note in conductor.notes)
    assert attempts.faults(0) == attempts.faults(1) == ()
    assert (
        dispatcher.evaluated(first.attempt, evaluation(2)) is False
    )  # its worker is gone, and so is its word
    again = [dispatcher.next(), dispatcher.next()]
    assert [one.plan for one in again if one] == [first.plan, second.plan]
    assert conductor.closed == {}


def test_what_was_taken_back_as_the_sweep_stops_is_interrupted(conductor: Conductor) -> None:
    dispatcher = Dispatcher(conductor)
    dispatcher.next()
    dispatcher.take_back("the Ray cluster was lost")
    dispatcher.interrupt_all("interrupted by SIGTERM")
    assert {number: end.kind for number, end in conductor.closed.items()} == {0: OutcomeKind.INTERRUPTED}
