"""What a verdict stands behind, and what to type where none does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confirmed_sweeps import TOP_HEAVY, sweep

from lossweep.search.exporting.choice import choose
from lossweep.search.exporting.support import doubt
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.verdicts.verdict import Verdict

CONTROL_BEST = {**TOP_HEAVY, Role.CONTROL: 0.90}
EQUAL = dict.fromkeys(TOP_HEAVY, 0.70)


def word(history: SweepHistory) -> Verdict:
    verdict = verdict_of(history)
    assert verdict is not None
    return verdict.headline.judged.verdict


def with_margin(history: SweepHistory, margin: float) -> SweepHistory:
    assert history.confirmation is not None
    plan = replace(history.confirmation.plan, margin=margin)
    return replace(history, confirmation=replace(history.confirmation, plan=plan))


def test_a_verdict_stands_behind_what_it_is_settled_on() -> None:
    for history, expected, role in (
        (sweep(TOP_HEAVY), Verdict.BEATS, Role.LEADER),
        (sweep(CONTROL_BEST), Verdict.LOSES, Role.CONTROL),
        (with_margin(sweep(EQUAL), 0.1), Verdict.TIES, Role.CONTROL),
    ):
        chosen = choose(history)
        assert chosen.scores is not None
        assert (word(history), chosen.scores.arm.role) == (expected, role)
        assert doubt(history, chosen) is None


def test_a_tie_stands_behind_the_simpler_schedule_alone() -> None:
    history = with_margin(sweep({**EQUAL, Role.LEADER: 0.705}), 0.1)
    assert word(history) is Verdict.TIES
    best = choose(history, nominal_best=True)
    refused = doubt(history, best)
    assert refused is not None
    assert "does not stand behind trial" in str(refused)
    assert "it stands behind the control, plain cross-entropy at 3e-3" in str(refused)


@pytest.mark.parametrize("number", [1, 2])
def test_a_trial_that_is_no_training_of_it_is_refused(number: int) -> None:
    history = sweep(TOP_HEAVY)
    refused = doubt(history, choose(history, number=number))
    assert (refused is None) == (number == 1), "the leader's own training is one of the schedule's"


def test_without_a_confirmation_the_command_is_named() -> None:
    history = sweep()
    refused = doubt(history, choose(history), " --home there")
    assert str(refused) == (
        "sweep small was not confirmed: the lead of trial 1 is one seed's; "
        "to confirm it: lossweep confirm small --home there"
    )


def test_what_cannot_be_told_yet_names_the_seeds_that_it_would_take() -> None:
    history = sweep({**EQUAL, Role.LEADER: 0.704})
    assert word(history) is Verdict.CANNOT_TELL
    refused = str(doubt(history, choose(history)))
    assert "can't tell yet who is ahead" in refused
    assert "lossweep confirm small --seeds " in refused


def test_a_confirmation_that_was_cut_short_stands_behind_nothing() -> None:
    history = sweep(TOP_HEAVY)
    assert history.confirmation is not None
    plan = replace(history.confirmation.plan, seeds=5)
    short = replace(history, confirmation=replace(history.confirmation, plan=plan))
    assert str(doubt(short, choose(short))).endswith(
        "the confirmation of sweep small is not complete; go on with it: lossweep resume small"
    )
    none = replace(history, confirmation=replace(history.confirmation, trials=()))
    unscored = replace(choose(history), verdict=None)
    assert "has no verdict" in str(doubt(none, unscored))
