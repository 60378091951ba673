"""Confirming what there is now: nothing of the search goes on, and the hours it had do not count."""

from __future__ import annotations

import optuna

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.study.events import ConfirmationStarted
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.trainers.plan import TrialPlan
from tests.search.sweeps import EPOCHS, Ear, conductor, evaluation, schedule

OWN = {"plain": schedule("cross_entropy"), "recipe": schedule("cross_entropy", "jaccard")}
COMPLETED = Outcome(OutcomeKind.COMPLETED)


def finish(boss: Conductor, plan: TrialPlan, level: float = 0.5) -> None:
    for epoch in range(1, EPOCHS + 1):
        boss.observe(plan.number, evaluation(epoch, level))
    boss.close(plan.number, COMPLETED)


def asked(boss: Conductor) -> TrialPlan:
    plan = boss.ask()
    assert plan is not None
    return plan


def test_interrupted_trials_of_the_search_wait_and_spent_hours_do_not_matter() -> None:
    study, journal, ear = optuna.create_study(direction="maximize"), MemoryJournal(), Ear()
    now = [0.0]

    def driver(at_once: bool, seeds: int = 2) -> Conductor:
        confirm = ConfirmSettings(top=1, seeds=seeds, margin=0.0, at_once=at_once)
        boss = conductor(
            9,
            study=study,
            journal=journal,
            controls=OWN,
            hours=1.0,
            clock=lambda: now[0],
            search={"confirm": confirm},
            listeners=[ear],
        )
        boss.adopt()
        return boss

    search = driver(at_once=False)
    for level in (0.3, 0.4, 0.6):
        finish(search, asked(search), level)
    search.observe(asked(search).number, evaluation(1))  # interrupted in mid-search
    now[0] = 3600.0
    search.shut_down()
    assert search.ask() is None

    boss = driver(at_once=True)
    assert boss.out_of_time
    first = asked(boss)
    assert (first.number, boss.history(4).confirms) == (4, 0)
    boss.observe(first.number, evaluation(1))  # killed here
    boss = driver(at_once=True)
    assert boss.ask() == first  # a confirmation that was interrupted goes on, the search does not
    finish(boss, first)
    while (plan := boss.ask()) is not None:
        finish(boss, plan)
    assert boss.done_at_once
    assert boss.interrupted == (3,)
    assert not boss.running
    told = [event for event in ear.events if isinstance(event, ConfirmationStarted)]
    assert len(told) == 2  # once a driver
    assert [event.confirmation.done for event in told] == [0, 0]
    assert not driver(at_once=True, seeds=3).done_at_once  # more seeds are more to train


def test_a_confirmation_after_the_search_is_no_more_begun_once_the_hours_are_spent() -> None:
    now = [0.0]
    confirm = {"confirm": ConfirmSettings(top=1, seeds=2, margin=0.0)}
    boss = conductor(3, controls=OWN, hours=1.0, clock=lambda: now[0], search=confirm)
    for level in (0.3, 0.4, 0.6):
        finish(boss, asked(boss), level)
    assert not boss.finished
    now[0] = 3600.0
    assert boss.ask() is None
    assert boss.finished
