"""The controls, and the ablations of a schedule."""

from __future__ import annotations

import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.controls import CONTROLS, ablations, controls
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


def test_the_controls_of_a_sweep() -> None:
    assert {name: str(schedule) for name, schedule in controls(30, PRIOR, 2e-3).items()} == {
        "cross_entropy": "cross_entropy @2e-3 x30 | 30 epochs",
        "weighted_ce": "weighted_ce(power=0.7) @2e-3 x30 | 30 epochs",
        "jaccard": "jaccard @2e-3 x30 | 30 epochs",
        "ce_dice": "cross_entropy + dice @2e-3 x30 | 30 epochs",
        "recipe": "weighted_ce(power=0.7) @2e-3 until recall>=0.9 in 1..5 -> jaccard @2e-4 x5"
        " | 3 cycles | 30 epochs",
    }


@pytest.mark.parametrize("epochs", range(1, 40))
def test_controls_take_the_whole_budget(epochs: int) -> None:
    found = controls(epochs, PRIOR)
    assert tuple(found) == CONTROLS
    for schedule in found.values():
        assert schedule.epochs == epochs
        assert epochs - schedule.cycles < schedule.most_epochs <= epochs
    cursor = ScheduleCursor.start(found["recipe"])
    losses = set()
    while not cursor.finished:
        losses.add(cursor.current.loss_name)
        cursor = cursor.advance({"recall": 0.95})
    assert len(losses) == min(epochs, 2)


def test_ablations_take_the_switch_away() -> None:
    schedule = LossSchedule.parse(
        "focal @1e-3 until recall>=0.9 in 2..4 back <0.7 -> dice @1e-4 x4 cosine fresh | 3 cycles | 30 epochs"
    )
    assert {name: str(ablation) for name, ablation in ablations(schedule).items()} == {
        "first_phase_alone": "focal @1e-3 x30 | 30 epochs",
        "one_loss": "focal @1e-3 until recall>=0.9 in 2..4 back <0.7 -> focal @1e-4 x4 cosine fresh"
        " | 3 cycles | 30 epochs",
    }


def test_ablations_that_change_nothing_are_left_out() -> None:
    assert ablations(LossSchedule.parse("dice @1e-3 x8 | 8 epochs")) == {}
    assert ablations(LossSchedule.parse("dice @1e-3 x8")) == {}
    one_loss_already = LossSchedule.parse("dice @1e-3 x4 -> dice @1e-4 x4")
    assert {name: str(each) for name, each in ablations(one_loss_already).items()} == {
        "first_phase_alone": "dice @1e-3 x8 | 8 epochs"
    }


def test_ablations_of_a_schedule_without_a_budget_train_as_long_as_it_can() -> None:
    schedule = LossSchedule.parse("focal @1e-3 until recall>=0.9 in 2..4 -> dice @1e-4 x4 | 2 cycles")
    assert {ablation.epochs for ablation in ablations(schedule).values()} == {16}
