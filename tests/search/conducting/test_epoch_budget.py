"""A budget that is refilled: what trials save of their epochs goes to further ones, and no epoch more."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.epochs import Epochs, epochs_left
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from tests.search.sweeps import EPOCHS, conductor, evaluation, schedule

IN_TURN = SamplerSpec(sampler="random", ahead=False)
PAUSING = PruningSpec(rungs=(0.25, 0.5), min_peers=1, audit=0.0, pause=True)
REFILL = {"refill": True}


def swept(trials: int, seed: int, refill: bool, failing: float = 0.0, **options: Any) -> SweepHistory:
    """A simulated sweep whose trials share prefixes, and of which so many fail."""
    trainer = SharingTrainer(SimulatedTrainer(exceptions=failing))
    return simulate_sweep(trials, seed, refill=refill, trainer=trainer, **options)


@settings(max_examples=5, deadline=None)
@given(trials=st.integers(4, 20), seed=st.integers(0, 1000), slots=st.integers(1, 5), pause=st.booleans())
def test_its_epochs_are_trained_and_hardly_more(trials: int, seed: int, slots: int, pause: bool) -> None:
    sampler = SamplerSpec(sampler="cost_aware", ahead=False)
    pruning = PruningSpec(pause=pause)
    found = swept(trials, seed, True, 0.05, slots=slots, pruning=pruning, sampler=sampler)
    failed = [trial.epochs for trial in found.trials if trial.outcome is OutcomeKind.FAILED]
    trained, allowed = Epochs.of(found.trials).trained, trials * found.budget_epochs
    charged = trained + sum(found.budget_epochs - epochs for epochs in failed)
    assert found.state == "finished"
    assert found.left == 0
    assert allowed <= charged < allowed + found.budget_epochs  # a trial that has begun may end
    assert len(found.trials) <= allowed


def test_it_tries_more_than_a_budget_of_as_many_trials() -> None:
    fixed, refilled = (swept(16, 3, refill) for refill in (False, True))
    assert len(fixed.trials) == 16 < len(refilled.trials)
    assert Epochs.of(fixed.trials).trained < 16 * 12 <= Epochs.of(refilled.trials).trained
    assert (fixed.budget, refilled.budget) == ("16 trials of 12 epochs", "192 epochs, 12 a trial")
    assert fixed.progress == "16/16"
    trained = Epochs.of(refilled.trials).trained
    assert refilled.progress == f"{len(refilled.trials)} ({trained}/192 epochs)"


def end_early(boss: Conductor, number: int, epochs: int) -> None:
    for epoch in range(1, epochs + 1):
        boss.observe(number, evaluation(epoch, cycle_ended=True))
    boss.close(number, Outcome(OutcomeKind.PRUNED, "by hand"))


def asked(boss: Conductor) -> int:
    plan = boss.ask()
    assert plan is not None
    return plan.number


def test_nothing_begins_that_open_trials_may_need_the_epochs_of() -> None:
    boss = conductor(2, search=REFILL, sampler=IN_TURN)
    assert (asked(boss), asked(boss), boss.ask()) == (0, 1, None)
    assert not boss.finished
    end_early(boss, 0, 3)
    assert asked(boss) == 2
    assert boss.ask() is None
    end_early(boss, 1, EPOCHS)
    end_early(boss, 2, EPOCHS - 3)
    assert boss.ask() is None
    assert boss.finished


def test_the_next_driver_counts_what_was_trained_before() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(2, study=study, journal=journal, search=REFILL, sampler=IN_TURN)
    end_early(boss, asked(boss), EPOCHS)
    left = asked(boss)
    boss.observe(left, evaluation(1))
    boss.shut_down()
    boss = conductor(2, study=study, journal=journal, search=REFILL, sampler=IN_TURN)
    assert boss.adopt() == (left,)
    assert asked(boss) == left
    assert boss.ask() is None
    end_early(boss, left, 5)
    assert asked(boss) == 2


def test_a_paused_trial_goes_on_only_while_there_are_epochs() -> None:
    boss = conductor(2, search=REFILL, sampler=IN_TURN, pruning=PAUSING)
    first, second = asked(boss), asked(boss)
    for epoch in range(1, EPOCHS + 1):
        boss.observe(first, evaluation(epoch, 0.9, cycle_ended=True))
    boss.close(first, Outcome(OutcomeKind.COMPLETED))
    seen = boss.observe(second, evaluation(2, 0.5, cycle_ended=True))
    assert seen.outcome is not None
    boss.close(second, seen.outcome)
    third = asked(boss)
    for epoch in range(1, EPOCHS - 1):
        boss.observe(third, evaluation(epoch, 0.1, cycle_ended=epoch == 6))
    boss.close(third, Outcome(OutcomeKind.COMPLETED))
    assert boss.ask() is None  # trial 1 is the better one of three now, and nothing is left for it
    assert boss.history(second).outcome is OutcomeKind.PRUNED
    assert boss.finished


def test_a_sweep_in_which_all_fails_ends_after_as_many_trials() -> None:
    boss = conductor(3, search=REFILL, sampler=IN_TURN)
    while (plan := boss.ask()) is not None:
        boss.close(plan.number, Outcome(OutcomeKind.FAILED, "broken"))
    assert boss.finished
    assert len(boss._roll.kinds) == 3


def test_a_failed_trial_that_is_tried_again_is_charged_once() -> None:
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    boss = conductor(2, study=study, journal=journal, search=REFILL, sampler=IN_TURN)
    boss.close(asked(boss), Outcome(OutcomeKind.FAILED, "broken"))
    boss.shut_down()
    boss = conductor(
        2, study=study, journal=journal, search={**REFILL, "retry_failed": True}, sampler=IN_TURN
    )
    assert (asked(boss), asked(boss), boss.ask()) == (1, 2, None)
    assert boss.history(1).retries == 0


def test_a_confirmation_costs_the_search_nothing() -> None:
    search = {**REFILL, "confirm": ConfirmSettings(1, 2, 0.0)}
    own = {"plain": schedule("cross_entropy"), "recipe": schedule("cross_entropy", "jaccard")}
    boss = conductor(3, search=search, sampler=IN_TURN, controls=own)
    for level in (0.3, 0.4, 0.6):
        number = asked(boss)
        for epoch in range(1, EPOCHS + 1):
            boss.observe(number, evaluation(epoch, level, cycle_ended=epoch == EPOCHS))
        boss.close(number, Outcome(OutcomeKind.COMPLETED))
    confirming = asked(boss)
    assert boss.history(confirming).confirms is not None
    end_early(boss, confirming, 2)
    assert not boss.finished
    assert boss.history(asked(boss)).confirms is not None


@pytest.mark.parametrize(
    ("trained", "charged", "started", "left"),
    [(0, (), 0, 24), (10, (3,), 2, 9), (20, (0,), 3, 0), (30, (), 5, 0), (2, (), 24, 0)],
)
def test_what_is_left(trained: int, charged: tuple[int, ...], started: int, left: int) -> None:
    assert epochs_left(3, 8, trained, charged, started) == left
