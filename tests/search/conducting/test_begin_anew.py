"""The user's own code was edited between two drivers: what had begun by the old one begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.own_code import change_words
from lossweep.search.study.events import TrialEnded
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.trainers.plan import TrialPlan
from tests.search.sweeps import EPOCHS, Ear, conductor, evaluation, schedule

OLD, NEW = {"my_loss:Soft": "aaaa"}, {"my_loss:Soft": "bbbb"}
COMPLETED = Outcome(OutcomeKind.COMPLETED)


class Sweep:
    """Drivers of one study, each with code of its own."""

    def __init__(self, trials: int = 3, **options: Any) -> None:
        self.study = optuna.create_study(direction="maximize")
        self.journal = MemoryJournal()
        self.ear = Ear()
        self._options = {"trials": trials, **options}

    def driver(self, code: Mapping[str, str]) -> Conductor:
        def code_of(plan: TrialPlan) -> Mapping[str, str]:
            return code

        boss = conductor(
            study=self.study, journal=self.journal, listeners=[self.ear], code_of=code_of, **self._options
        )
        boss.adopt()
        return boss


def asked(boss: Conductor) -> TrialPlan:
    plan = boss.ask()
    assert plan is not None
    return plan


def test_a_plan_says_by_which_code_it_trains_and_the_trial_keeps_it() -> None:
    boss = Sweep().driver(OLD)
    plan = asked(boss)
    assert plan.code == boss.history(0).code == OLD
    without = Sweep()
    asked(without.driver({}))
    assert "code" not in without.study.get_trials()[0].user_attrs


def test_what_had_begun_by_other_code_fails_and_comes_again_as_another_trial() -> None:
    sweep = Sweep()
    first = sweep.driver(OLD)
    for _ in range(3):
        asked(first)
    first.observe(1, evaluation(1, 0.3))
    first.close(2, Outcome(OutcomeKind.INTERRUPTED, "Ctrl-C"))  # before its first evaluation
    for epoch in range(1, EPOCHS + 1):
        first.observe(0, evaluation(epoch))
    first.close(0, COMPLETED)

    boss = sweep.driver(NEW)
    assert boss.begin_anew() == {1: ("my_loss:Soft",)}
    old = boss.history(1)
    assert (old.outcome, old.code) == (OutcomeKind.FAILED, OLD)
    assert old.reason == "my_loss:Soft has changed since: it begins anew as another trial"
    assert [one.metrics["ap"] for one in old.evaluations] == [0.3]  # what was measured stays where it was
    ended = sweep.ear.events[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.trial == old
    started = [asked(boss), asked(boss)]
    assert [(plan.number, plan.code) for plan in started] == [(2, NEW), (3, NEW)]
    again = boss.history(3)
    assert (again.retries, again.seed, again.schedule) == (1, old.seed, old.schedule)
    assert again.evaluations == ()
    assert boss.ask() is None  # the budget counts it once
    assert boss.history(0).code == OLD


def test_a_driver_that_dies_before_the_other_trial_is_written_leaves_it_to_the_next() -> None:
    sweep = Sweep(trials=1)
    first = sweep.driver(OLD)
    first.observe(asked(first).number, evaluation(1))
    assert sweep.driver(NEW).begin_anew() == {0: ("my_loss:Soft",)}  # and is killed
    boss = sweep.driver(NEW)
    assert boss.begin_anew() == {}
    plan = asked(boss)
    assert (plan.number, boss.history(1).retries) == (1, 0)
    boss.close(1, Outcome(OutcomeKind.FAILED, "x"))
    assert sweep.driver(NEW).ask() is None


@pytest.mark.parametrize("code", [OLD, {}])
def test_the_same_code_or_none_goes_on(code: Mapping[str, str]) -> None:
    sweep = Sweep(trials=1)
    first = sweep.driver(code)
    plan = asked(first)
    first.observe(0, evaluation(1))
    boss = sweep.driver(code)
    assert boss.begin_anew() == {}
    assert boss.ask() == plan


def test_what_had_begun_before_code_was_recorded_begins_anew() -> None:
    sweep = Sweep(trials=1)
    first = sweep.driver({})
    first.observe(asked(first).number, evaluation(1))
    assert sweep.driver(OLD).begin_anew() == {0: ("my_loss:Soft",)}


def test_a_confirmation_begins_anew_with_its_seed() -> None:
    confirm = {"confirm": ConfirmSettings(top=1, seeds=2, margin=0.0)}
    controls = {"plain": schedule("cross_entropy"), "recipe": schedule("cross_entropy", "jaccard")}
    sweep = Sweep(trials=3, controls=controls, search=confirm)
    first = sweep.driver(OLD)
    for number in range(3):
        asked(first)
        for epoch in range(1, EPOCHS + 1):
            first.observe(number, evaluation(epoch, 0.1 + 0.1 * number))
        first.close(number, COMPLETED)
    confirming = asked(first)
    first.observe(confirming.number, evaluation(1))
    boss = sweep.driver(NEW)
    assert list(boss.begin_anew()) == [confirming.number]
    again = asked(boss)
    assert (again.seed, again.schedule, again.number) == (confirming.seed, confirming.schedule, 4)
    assert boss.history(again.number).retries == confirming.number
    assert sweep.study.get_trials()[confirming.number].state is TrialState.FAIL


def test_the_change_is_told_in_one_line() -> None:
    assert change_words(OLD, OLD, {}) == change_words({}, OLD, {}) == ""
    assert change_words(OLD, NEW, {}) == (
        "The code of my_loss:Soft has changed since the sweep last ran; "
        "no unfinished trial had begun with it."
    )
    before, now = ({**code, "my_sampler:Own": digest} for code, digest in ((OLD, "cc"), (NEW, "dd")))
    assert change_words(before, now, {7: ("my_loss:Soft",)}) == (
        "The code of my_loss:Soft, my_sampler:Own has changed since the sweep last ran; "
        "begun trials begin anew as new ones: 7."
    )
