"""Losses that had been tried before by another name are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lossweep.search.study.alike import Alike, alike, all_alike, without_gradient
from lossweep.trainers.evaluation import RehearsedLoss
from tests.dashboards.histories import cycling, trial

JACCARD = RehearsedLoss("jaccard", 0.01, 2.0, (0.6, 0.8, 0.0))
DICE = RehearsedLoss("dice", 0.02, 4.0, (0.6, 0.8, 0.0002))
FOCAL = RehearsedLoss("focal", 0.02, 4.0, (0.8, 0.6, 0.0))
FLAT = RehearsedLoss("my_losses:Flat", 0.0, 0.0)


def of(number: int, *losses: RehearsedLoss):  # type: ignore[no-untyped-def]
    made = trial(number, cycling(), 0.5)
    first, *rest = made.evaluations
    return replace(made, evaluations=(replace(first, rehearsed=losses), *rest))


def test_the_first_that_trained_so_is_named_with_the_factor() -> None:
    trials = [of(0, FOCAL), of(1, JACCARD), of(2, JACCARD, FOCAL), of(3, DICE, FOCAL)]
    assert [alike(one, trials) for one in trials[:3]] == [()] * 3, "the same loss again is no discovery"
    assert alike(trials[3], trials) == (Alike("dice", 1, "jaccard", 2.0),)
    (found,) = alike(trials[3], trials)
    assert str(found) == "dice: same gradient as jaccard (#1) times 2 on the rehearsal batch"
    assert str(replace(found, factor=1.0)) == "dice: same gradient as jaccard (#1) on the rehearsal batch"


def test_of_a_whole_sweep_each_loss_is_told_once() -> None:
    trials = [of(0, FOCAL), of(1, JACCARD), of(2, JACCARD, FOCAL), of(4, FLAT, DICE), of(3, DICE, FOCAL)]
    assert all_alike(trials) == (Alike("dice", 1, "jaccard", 2.0),)
    third = replace(DICE, loss="tversky", sketch=(0.6, 0.8, 0.0004))
    assert all_alike([*trials, of(9, third)])[1:] == (Alike("tversky", 1, "jaccard", 2.0),)
    assert all_alike([of(0, FLAT)]) == all_alike([]) == ()


def test_two_phases_of_one_schedule_may_be_alike() -> None:
    only = of(5, JACCARD, DICE)
    assert alike(only, [only]) == (Alike("dice", 5, "jaccard", 2.0),)


def test_what_has_no_gradient_is_like_nothing_and_told_apart() -> None:
    trials = [of(0, FLAT), of(1, replace(FLAT, loss="other:Flat"), JACCARD)]
    assert alike(trials[1], trials) == ()
    assert without_gradient(trials[1]) == ("other:Flat",)


@pytest.mark.parametrize("number", [0, 3])
def test_before_its_first_evaluation_nothing_is_known(number: int) -> None:
    waiting = replace(trial(number, cycling(), 0.5), evaluations=())
    assert alike(waiting, [waiting]) == ()
    assert without_gradient(waiting) == ()
