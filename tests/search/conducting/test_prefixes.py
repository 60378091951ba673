"""Whoever begins as a running trial does waits for it; others go first; nobody is forgotten."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.prefixes import LEAST_WAITING, Awaited, Prefixes
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.inline import InlineRunner
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from tests.search.sweeps import EPOCHS, SmallSpace, conductor, evaluation


def plan(number: int, line: str, seed: int = 7) -> TrialPlan:
    return TrialPlan(
        number=number,
        seed=seed,
        schedule=LossSchedule.parse(line).with_budget(EPOCHS),
        data=ScenesSource(source="scenes"),
        model=ModelSpec(),
        training=TrainingSpec(),
        guards=GuardSpec(),
        measure=MeasureSpec(),
    )


def following(*plans: TrialPlan) -> Prefixes:
    prefixes = Prefixes()
    for each in plans:
        prefixes.add(each)
    return prefixes


def test_one_waits_for_whoever_trains_most_of_its_prefix_until_both_part() -> None:
    long, short = "dice @1 x4 -> jaccard @1 x4", "dice @1 x2 -> jaccard @1 x4"
    prefixes = following(plan(0, short), plan(1, long), plan(2, "dice @1 x4 -> jaccard @2 x4"))
    assert prefixes.awaited(2) is None, "nobody trains"
    prefixes.begins(0)
    assert prefixes.awaited(2) == Awaited(0, 2)
    prefixes.begins(1)
    assert prefixes.awaited(2) == Awaited(1, 4)
    for epoch in range(1, 4):
        prefixes.takes(1, evaluation(epoch))
        assert prefixes.awaited(2) == Awaited(1, 4)
    prefixes.takes(1, evaluation(4))
    assert prefixes.awaited(2) is None, "all that is common is trained"


def test_nobody_is_waited_for_who_has_ended_or_trains_what_was_trained() -> None:
    prefixes = following(plan(0, "dice @1 x8"), plan(1, "dice @1 x8"), plan(2, "dice @1 x8"))
    prefixes.begins(0)
    assert prefixes.awaited(1) == Awaited(0, EPOCHS)
    prefixes.takes(0, evaluation(3))
    prefixes.ends(0)
    assert prefixes.awaited(1) is None
    prefixes.begins(1)
    for epoch in range(1, EPOCHS + 1):
        assert prefixes.awaited(2) == Awaited(1, EPOCHS)
        prefixes.takes(1, evaluation(epoch))
    assert prefixes.awaited(2) is None


@pytest.mark.parametrize(
    "other", [plan(1, "dice @1 x8", seed=8), plan(1, "dice @2 x8"), plan(1, "jaccard @1 x8")]
)
def test_what_trains_otherwise_is_not_waited_for(other: TrialPlan) -> None:
    prefixes = following(plan(0, "dice @1 x8"), other)
    prefixes.begins(0)
    assert prefixes.awaited(1) is None


class FewSchedules(SmallSpace):
    """First phases that coincide again and again."""

    def suggest(self, trial: Any) -> LossSchedule:
        loss = trial.suggest_categorical("loss", ["dice", "cross_entropy"])
        first = trial.suggest_int("first", 1, 3)
        rate = trial.suggest_categorical("rate", [1e-3, 1e-4])
        return LossSchedule.parse(f"{loss} @1e-3 x{first} -> jaccard @{rate} x2").with_budget(EPOCHS)


def few(trials: int, **others: Any) -> Conductor:
    """A conductor of such trials, all of one seed."""
    return conductor(trials, search={"common_seed": True, "space": FewSchedules()}, **others)


def test_as_many_may_wait_as_run_and_they_stand_in_the_study() -> None:
    study, journal = optuna.create_study(), MemoryJournal()
    boss = few(40, study=study, journal=journal)
    running = []
    while (asked := boss.ask()) is not None:
        running.append(asked)
    assert len(running) == 2, "one of each loss; all others begin as one of them"
    assert len(boss.interrupted) == LEAST_WAITING
    reasons = {boss.history(number).reason for number in boss.interrupted}
    assert all(reason.startswith("waits for trial ") for reason in reasons)
    boss.close(running[0].number, Outcome(OutcomeKind.COMPLETED))
    assert (next_one := boss.ask()) is not None
    assert next_one.number < 6, "what waited goes before anything new"
    # A driver that is killed leaves them to the next one, which knows nothing of who waited.
    after = few(40, study=study, journal=journal)
    after.adopt()
    again = [asked.number for asked in iter(after.ask, None)]
    begun = [after.history(number).schedule.phases[0].loss_name for number in again]
    assert sorted(begun) == ["cross_entropy", "dice"], "of each one; the others wait again"


def test_hours_that_run_out_leave_nobody_waiting() -> None:
    now = [0.0]
    boss = few(40, hours=1.0, clock=lambda: now[0])
    running = [asked.number for asked in iter(boss.ask, None)]
    now[0] = 3600.0
    assert boss.ask() is None
    while running:
        boss.close(running.pop(), Outcome(OutcomeKind.FAILED, "so"))
        running += [asked.number for asked in iter(boss.ask, None)]
    assert boss.finished


def test_a_sweep_begun_with_a_seed_a_trial_goes_on_so() -> None:
    """As one that an earlier version began; and one with a common seed keeps to that."""
    study, journal = optuna.create_study(), MemoryJournal()
    before = conductor(8, study=study, journal=journal)
    seeds = [before.ask().seed for _ in range(2)]
    after = few(8, study=study, journal=journal)
    seeds += [after.ask().seed for _ in range(2)]
    assert len(set(seeds)) == 4
    study, journal = optuna.create_study(), MemoryJournal()
    first = few(8, study=study, journal=journal).ask()
    assert {asked.seed for asked in iter(few(8, study=study, journal=journal).ask, None)} == {first.seed}


@settings(max_examples=15)
@given(slots=st.integers(1, 6), seed=st.integers(0, 99))
def test_no_epoch_is_trained_twice_whatever_runs_beside(
    slots: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("work")
    boss = few(16, seed=seed)
    InlineRunner(slots).run(Dispatcher(boss), PlantedTrainer(folder))
    log = TrainingLog(folder)
    assert boss.finished
    assert log.trained_needlessly() == log.trained_twice() == []
    histories = [boss.history(number) for number in range(16)]
    prefixes = [entry.prefix for entry in log.entries() if entry.deed == "trained"]
    assert len(prefixes) == len(set(prefixes)) == sum(each.trained_epochs for each in histories)
    assert sum(each.epochs for each in histories) == 16 * EPOCHS
    for each in histories:
        equal = [other for other in histories if other.schedule == each.schedule]
        assert len({other.score for other in equal}) == 1, "what is shared equals what is trained"
        assert sum(other.trained_epochs for other in equal) <= EPOCHS, "a duplicate costs nothing"
