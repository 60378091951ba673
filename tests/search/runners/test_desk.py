from __future__ import annotations

from collections.abc import Callable

import pytest

from search.faults import Fault, FaultKind, RetryPolicy
from search.history import DecisionRecord
from search.ledger.lease import LeaseLost
from search.outcomes import Outcome, OutcomeKind
from search.runners.desk import Desk
from search.stopping import StopRequest
from spaces.loss_terms import CrossEntropy
from spaces.schedule import LossSchedule, Phase
from trainers.data.spec import ScenesSource
from trainers.evaluation import Evaluation
from trainers.guards.spec import GuardSpec
from trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan

LOST = Fault(FaultKind.WORKER_LOST, "the worker was lost")
FULL = Fault(FaultKind.OUT_OF_MEMORY, "OutOfMemory: full")
DISK = Fault(FaultKind.DISK_FULL, "no space left")


def plan(number: int) -> TrialPlan:
    schedule = LossSchedule(phases=(Phase(loss=CrossEntropy(), learning_rate=1e-3, epochs=2),))
    return TrialPlan(
        number=number,
        seed=number,
        schedule=schedule,
        epochs=2,
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

    def observe(self, number: int, evaluation: Evaluation) -> DecisionRecord:
        self.observed.append((number, evaluation.step))
        return DecisionRecord(evaluation.step, "prune" if self.prune else "continue", "because", {"x": 1.0})

    def close(self, number: int, outcome: Outcome) -> None:
        assert number not in self.closed
        self.closed[number] = outcome

    def note(self, number: int, decision: DecisionRecord) -> None:
        self.notes.append(decision)


@pytest.fixture
def conductor() -> Conductor:
    return Conductor()


def test_a_trial_is_handed_out_followed_and_ended(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    assert desk.evaluated(first.attempt, evaluation(1))
    assert not desk.evaluated(first.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED
    assert desk.next() is not None
    assert desk.next() is None
    assert desk.running == 1


def test_a_pruned_trial_ends_with_the_pruners_figures(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    conductor.prune = True
    assert not desk.evaluated(first.attempt, evaluation(1))
    assert conductor.closed[0] == Outcome(OutcomeKind.PRUNED, "because", {"x": 1.0})


def test_what_an_old_attempt_reports_is_ignored(conductor: Conductor) -> None:
    desk = Desk(conductor)
    old = desk.next()
    assert old is not None
    desk.evaluated(old.attempt, evaluation(1))
    desk.faulted(old.attempt, LOST)
    new = desk.next()
    assert new is not None
    assert new.plan.number == 0
    assert new.attempt != old.attempt
    # The orphan goes on, as if nothing had happened.
    assert not desk.evaluated(old.attempt, evaluation(2))
    desk.faulted(old.attempt, LOST)
    desk.ended(old.attempt)
    assert conductor.closed == {}
    assert conductor.observed == [(0, 1)]
    assert not desk.evaluated(new.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED
    assert [(one.step, one.action) for one in conductor.notes] == [(1, "retry")]


def test_memory_is_tried_once_with_half_the_micro_batch(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    desk.faulted(first.attempt, FULL)
    second = desk.next()
    assert second is not None
    assert (second.plan.number, second.plan.micro_batch) == (0, 4)
    desk.faulted(second.attempt, LOST)
    third = desk.next()
    assert third is not None
    assert third.plan.micro_batch == 4
    desk.faulted(third.attempt, FULL)
    assert conductor.closed[0].kind is OutcomeKind.FAILED


def test_a_worker_lost_too_often_fails(conductor: Conductor) -> None:
    desk = Desk(conductor, policy=RetryPolicy(max_failures=1))
    for _ in range(2):
        assignment = desk.next()
        assert assignment is not None
        assert assignment.plan.number == 0
        desk.faulted(assignment.attempt, LOST)
    assert conductor.closed[0] == Outcome(OutcomeKind.FAILED, LOST.message)


def test_a_trainer_that_stops_short_has_failed(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    desk.ended(first.attempt)
    assert conductor.closed[0].kind is OutcomeKind.FAILED
    assert "before the trial's budget" in conductor.closed[0].reason


def test_a_stop_ends_trials_at_their_next_evaluation(conductor: Conductor) -> None:
    stop = StopRequest()
    desk = Desk(conductor, stop=stop)
    first = desk.next()
    assert first is not None
    stop.set("lossweep stop x")
    stop.set("another reason")
    assert desk.next() is None
    assert not desk.evaluated(first.attempt, evaluation(1))
    assert conductor.closed[0] == Outcome(OutcomeKind.INTERRUPTED, "lossweep stop x")
    assert conductor.observed == [(0, 1)]  # recorded, not thrown away


def test_a_trial_that_ends_by_itself_under_a_stop_is_completed(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    desk.stop.set("stop")
    desk.evaluated(first.attempt, evaluation(2))
    assert conductor.closed[0].kind is OutcomeKind.COMPLETED


def test_a_fault_under_a_stop_leaves_the_trial_to_the_next_driver(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first = desk.next()
    assert first is not None
    desk.stop.set("stop")
    desk.faulted(first.attempt, LOST)
    assert conductor.closed[0].kind is OutcomeKind.INTERRUPTED
    assert desk.running == 0


def test_a_full_disk_pauses_everything(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first, second = desk.next(), desk.next()
    assert first is not None
    assert second is not None
    desk.faulted(first.attempt, DISK)
    assert desk.paused == DISK.message
    assert desk.next() is None
    assert not desk.evaluated(second.attempt, evaluation(1))
    assert {one.kind for one in conductor.closed.values()} == {OutcomeKind.INTERRUPTED}


def test_at_the_end_nothing_is_left_open(conductor: Conductor) -> None:
    desk = Desk(conductor)
    first, second = desk.next(), desk.next()
    assert first is not None
    assert second is not None
    desk.faulted(first.attempt, LOST)
    desk.interrupt_all("over")
    assert set(conductor.closed) == {0, 1}
    assert {one.kind for one in conductor.closed.values()} == {OutcomeKind.INTERRUPTED}


@pytest.mark.parametrize(
    "use",
    [
        lambda desk, attempt: desk.next(),
        lambda desk, attempt: desk.evaluated(attempt, evaluation(1)),
        lambda desk, attempt: desk.faulted(attempt, LOST),
    ],
)
def test_a_driver_that_lost_its_lease_writes_nothing(
    conductor: Conductor, use: Callable[[Desk, str], object]
) -> None:
    lost = False

    def check() -> None:
        if lost:
            raise LeaseLost("taken over")

    desk = Desk(conductor, check=check)
    first = desk.next()
    assert first is not None
    lost = True
    with pytest.raises(LeaseLost):
        use(desk, first.attempt)
    assert conductor.observed == []
    assert conductor.closed == {}
