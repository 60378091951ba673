"""How much too good the best of many looks: by the normal distribution, and by trainings of its own."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime

import numpy as np
import pytest

from lossweep.search.study.confirmation import Arm, Confirmation, ConfirmationPlan, Role
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.verdicts.optimism import (
    Optimism,
    SeedSpread,
    expected_maximum,
    expected_optimism,
    optimism_words,
    seed_spread,
    shrinkage_words,
    shrinkages,
)
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule

PLAIN = LossSchedule.parse("cross_entropy @1e-3 x4")
DICE = LossSchedule.parse("dice @1e-3 x4")
FOCAL = LossSchedule.parse("focal @1e-3 x4")


def trial(
    number: int,
    schedule: LossSchedule,
    score: float | None,
    outcome: OutcomeKind = OutcomeKind.COMPLETED,
    confirms: int | None = None,
    seed: int | None = None,
) -> TrialHistory:
    return TrialHistory(
        number=number,
        schedule=schedule,
        seed=number if seed is None else seed,
        # A trial of the confirmation has the name of a user's baseline, and no other control's.
        control="cross_entropy" if schedule == PLAIN and confirms is None else None,
        parameters={},
        outcome=outcome,
        reason="",
        score=score,
        feasible=True,
        evaluations=(),
        confirms=confirms,
    )


def sweep(*trials: TrialHistory, confirming: tuple[TrialHistory, ...] = (), **changes: str) -> SweepHistory:
    arms = (Arm(Role.CONTROL, 0, PLAIN), Arm(Role.LEADER, 1, DICE))
    plan = ConfirmationPlan(arms, seeds=3, margin=0.005, searched=len(trials))
    return SweepHistory(
        name="small",
        spec_yaml="",
        state=SweepState.FINISHED,
        objective="f1",
        metric="f1",
        direction=changes.get("direction", "maximize"),
        prior=ClassPrior(names=("background", "crack"), frequencies=(0.9, 0.1)),
        budget_trials=len(trials),
        budget_epochs=4,
        trials=trials,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        confirmation=Confirmation(plan, confirming) if confirming else None,
    )


def test_the_expected_maximum_is_the_normals() -> None:
    assert expected_maximum(0) == expected_maximum(1) == 0.0
    assert expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi))
    drawn = np.random.default_rng(0).standard_normal((20_000, 36)).max(axis=1).mean()
    assert expected_maximum(36) == pytest.approx(drawn, abs=0.02)
    assert expected_maximum(5000) > expected_maximum(500) > 3.0


def test_the_spread_is_pooled_over_what_was_trained_more_than_once() -> None:
    found = seed_spread(
        sweep(
            trial(0, PLAIN, 0.50),
            trial(1, PLAIN, 0.54),
            trial(2, DICE, 0.70),
            trial(3, DICE, 0.73),
            trial(4, DICE, 0.76),
            trial(5, FOCAL, 0.10),
        )
    )
    pooled = math.sqrt((statistics.variance([0.5, 0.54]) + 2 * statistics.variance([0.7, 0.73, 0.76])) / 3)
    assert found == SeedSpread(pytest.approx(pooled), schedules=2, trainings=5)  # type: ignore[arg-type] # close


def test_what_did_not_complete_or_had_the_same_seed_says_nothing_of_the_spread() -> None:
    assert seed_spread(sweep(trial(0, DICE, 0.7), trial(1, FOCAL, 0.6))) is None
    assert seed_spread(sweep(trial(0, DICE, 0.7), trial(1, DICE, 0.1, OutcomeKind.PRUNED))) is None
    assert seed_spread(sweep(trial(0, DICE, 0.7, seed=9), trial(1, DICE, 0.7, seed=9))) is None


def test_the_confirmations_arms_tell_the_spread_apart_from_the_search() -> None:
    fresh = tuple(
        trial(2 + seed, DICE, 0.60 + 0.01 * seed, confirms=seed, seed=50 + seed) for seed in range(3)
    )
    found = seed_spread(sweep(trial(0, PLAIN, 0.5), trial(1, DICE, 0.9), confirming=fresh))
    assert found is not None
    assert found.deviation == pytest.approx(0.01)
    assert (found.schedules, found.trainings) == (1, 3)


def test_both_sides_owe_something_to_luck() -> None:
    optimism = Optimism(Tried(schedules=36, plain=11, own=1), SeedSpread(0.02, 1, 5))
    assert optimism.of_schedules == pytest.approx(0.02 * expected_maximum(36))
    assert optimism.of_controls == pytest.approx(0.02 * expected_maximum(12))
    words = optimism_words(optimism, "small")
    assert "the best of 36 loss schedules would be expected to look 0.042 too good" in words
    assert "the best of 11 plain cross-entropies and 1 of your own baselines, 0.033" in words
    assert "a lead of about 0.010 would be luck alone" in words


def test_an_unknown_spread_is_said_to_be_unknown() -> None:
    optimism = expected_optimism(sweep(trial(0, PLAIN, 0.5), trial(1, DICE, 0.7), trial(2, FOCAL, 0.6)))
    assert optimism.of_schedules is None
    words = optimism_words(optimism, "small")
    assert "no schedule was trained twice; lossweep confirm small measures it" in words
    assert "0.6 standard deviations" in words
    assert optimism_words(Optimism(Tried(schedules=1, plain=1), None), "small") == ""


@pytest.mark.parametrize(("direction", "word"), [("maximize", "good"), ("minimize", "bad")])
def test_what_became_of_the_searchs_scores(direction: str, word: str) -> None:
    fresh = (
        trial(2, PLAIN, 0.48, confirms=0),
        trial(3, DICE, 0.64, confirms=0),
        trial(4, DICE, None, OutcomeKind.DIVERGED, confirms=1),
        trial(5, DICE, 0.62, confirms=2),
    )
    history = sweep(trial(0, PLAIN, 0.5), trial(1, DICE, 0.7), confirming=fresh, direction=direction)
    control, leader = shrinkages(history)
    assert (control.trial, control.scores) == (0, (0.48,))
    assert (leader.trial, leader.scores) == (1, (0.64, 0.62))
    assert leader.optimism == pytest.approx(0.07 if direction == "maximize" else -0.07)
    words = shrinkage_words((leader, control), control=0)
    assert (
        "Trial 1 scored 0.700 in the search and 0.630 on the same validation split with 2 fresh seeds: "
        in words
    )
    assert f"it had looked 0.070 too {word}. The control, trial 0, scored 0.500" in words
    assert "with 1 fresh seed:" in words
    assert shrinkages(sweep(*history.trials)) == ()
