"""Proposals that were rejected before training take none of the budget's trials, within bounds."""

from __future__ import annotations

from collections.abc import Collection

import optuna

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.trainers.evaluation import GuardVerdict
from tests.search.sweeps import EPOCHS, conductor, evaluation, schedule

VERDICT = GuardVerdict("rejected", 0, 0, "the loss has no gradient", {"loss": 1.0, "gradient": 0.0})
CONTROLS = {"cross_entropy": schedule("cross_entropy")}


def run(boss: Conductor, rejected: Collection[int], most: int = 100) -> list[int]:
    """Train trials one by one; return the numbers of those that trained."""
    trained = []
    for _ in range(most):
        if (plan := boss.ask()) is None:
            return trained
        if plan.number in rejected:
            seen = boss.observe(plan.number, evaluation(0, verdict=VERDICT))
            assert seen.outcome is not None
            boss.close(plan.number, seen.outcome)
            continue
        trained.append(plan.number)
        boss.observe(plan.number, evaluation(EPOCHS))
        boss.close(plan.number, Outcome(OutcomeKind.COMPLETED))
    return trained


def test_others_take_their_place() -> None:
    boss = conductor(4, controls=CONTROLS)
    assert run(boss, rejected=(1, 3)) == [0, 2, 4, 5]
    assert boss.finished


def test_a_space_of_nothing_else_ends_as_well() -> None:
    boss = conductor(3, controls=CONTROLS)
    assert run(boss, rejected=range(1, 100)) == [0]
    assert [boss.history(n).rejected for n in range(6)] == [False, *[True] * 5]
    assert boss.finished, "three are given back, as many as the budget has; the other two are the budget's"


def test_a_rejected_control_counts() -> None:
    """It would come again the same: what the user wrote down is not replaced by something else."""
    boss = conductor(3, controls=CONTROLS)
    assert run(boss, rejected=(0,)) == [1, 2]


def test_a_resumed_driver_counts_the_same() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    first = conductor(4, study=study, journal=journal, controls=CONTROLS)
    assert run(first, rejected=(1, 3), most=4) == [0, 2]
    again = conductor(4, study=study, journal=journal, controls=CONTROLS)
    assert run(again, rejected=()) == [4, 5]
    assert again.finished


def test_running_trials_are_awaited_before_the_confirmation_takes_over() -> None:
    boss = conductor(2, controls=CONTROLS)
    assert run(boss, rejected=(), most=1) == [0]
    plan = boss.ask()
    assert plan is not None
    assert boss.ask() is None, "the budget is handed out"
    assert not boss.finished
    seen = boss.observe(plan.number, evaluation(0, verdict=VERDICT))
    assert seen.outcome is not None
    boss.close(plan.number, seen.outcome)
    assert run(boss, rejected=()) == [2]
