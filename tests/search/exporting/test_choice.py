"""Which training leaves a sweep: the simplest that ties with the best, or the one of a purpose."""

from __future__ import annotations

import pytest
from confirmed_sweeps import ARMS, FIRST, LEADER, PLAIN, RATES, TOP_HEAVY, sweep

from lossweep.search.exporting.choice import Preference, choose, training_of
from lossweep.search.study.confirmation import Role
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.checkpoints import needed_trials
from lossweep.spaces.files.errors import UserError

CLOSE = {**TOP_HEAVY, Role.CONTROL: 0.697}
"""The control within what the seeds can tell from the leader."""


def validation(history: SweepHistory, place: int) -> list[float]:
    assert history.confirmation is not None
    return sorted(t.score or 0.0 for t in history.confirmation.of(ARMS[place].schedule).values())


def test_a_tie_goes_to_the_simpler_schedule() -> None:
    chosen = choose(sweep(CLOSE), home=" --home there")
    assert chosen.trial.schedule == PLAIN
    assert chosen.scores is not None
    assert chosen.scores.arm.role is Role.CONTROL
    first, second = chosen.said
    assert "the simplest schedule that 4 fresh seeds can't tell from the best" in first
    assert "test tuned_f1 0.697 ± 0.008" in first
    assert "trial 1, has test tuned_f1 0.700" in second
    assert second.endswith("to export it: lossweep export small --home there --trial 1")


def test_a_clear_lead_is_exported_however_complex() -> None:
    chosen = choose(sweep(TOP_HEAVY))
    assert chosen.trial.schedule == LEADER
    assert chosen.said == (
        "Exported is trial 1: test tuned_f1 0.700 ± 0.008, the best mean of the confirmed arms.",
    )


def test_an_ablation_that_is_best_is_reached_by_a_flag() -> None:
    history = sweep({**TOP_HEAVY, Role.CONTROL: 0.697, Role.RATES_ALONE: 0.702})
    simple, best = choose(history), choose(history, nominal_best=True)
    assert (simple.trial.schedule, best.trial.schedule) == (PLAIN, RATES)
    assert simple.said[1].endswith("lossweep export small --nominal-best")
    assert "rates and lengths with plain cross-entropy of trial 1" in best.said[0]


def test_the_training_of_an_arm_is_the_one_of_the_median_validation_score() -> None:
    history = sweep(CLOSE)
    for place, arm in enumerate(ARMS):
        trial = training_of(history, arm)
        assert trial.score == validation(history, place)[1], "of four the worse of the middle two"
        assert trial.confirms == 3


def test_what_an_export_takes_keeps_its_checkpoints() -> None:
    history = sweep(CLOSE)
    taken = {training_of(history, arm).number for arm in ARMS}
    assert needed_trials(history, 1) == taken | {0, 1}
    assert needed_trials(sweep(), 1) == {0, 1}


def test_without_a_verdict_the_best_is_said_to_be_unconfirmed() -> None:
    chosen = choose(sweep())
    assert (chosen.trial.number, chosen.verdict) == (1, None)
    (line,) = chosen.said
    assert "unconfirmed" in line
    assert line.endswith("lossweep confirm small")


def test_a_number_is_taken_at_its_word() -> None:
    history = sweep(CLOSE)
    searched, confirming = choose(history, number=1), choose(history, number=5)
    assert (searched.trial.schedule, searched.trial.confirms, searched.said) == (LEADER, None, ())
    assert searched.scores is not None
    assert searched.scores.arm.role is Role.LEADER
    assert (confirming.trial.schedule, confirming.trial.confirms) == (RATES, 0)
    assert choose(history, number=2).scores is None
    with pytest.raises(UserError, match="allowed: 0 to 18"):
        choose(history, number=99)


def test_a_purpose_chooses_by_its_own_figure() -> None:
    recalls = (0.5, 0.6, 0.4, 0.9)
    confirmed = choose(sweep(CLOSE, recalls), prefer=Preference.RECALL)
    assert confirmed.trial.schedule == FIRST
    assert "of 4 confirmed arms it has the highest mean recall on validation, 0.900" in confirmed.said[0]
    assert choose(sweep(CLOSE, recalls), prefer=Preference.PRECISION).trial.schedule == RATES
    searched = choose(sweep(), prefer=Preference.F1)
    assert searched.trial.number == 1
    assert "unconfirmed" in searched.said[0]
    with pytest.raises(UserError, match="object_f1 at a tuned threshold"):
        choose(sweep(CLOSE), prefer=Preference.OBJECT_F1)
