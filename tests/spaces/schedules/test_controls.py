"""The controls, and the ablations of a schedule."""

from __future__ import annotations

import pytest

from lossweep.spaces.schedules.controls import NAMED, ablations, is_plain, named_controls, plain
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule


def strings(schedules: dict[str, LossSchedule]) -> dict[str, str]:
    return {name: str(schedule) for name, schedule in schedules.items()}


def test_the_named_controls_start_where_plain_cross_entropy_does_best() -> None:
    assert strings(named_controls(plain(30, 2e-3), 30)) == {
        "weighted_ce": "weighted_ce(power=0.7) @2e-3 x30 | 30 epochs",
        "jaccard": "jaccard @2e-3 x30 | 30 epochs",
        "ce_dice": "cross_entropy + dice @2e-3 x30 | 30 epochs",
        "recipe": "weighted_ce(power=0.7) @2e-3 until recall>=0.9 in 1..5 -> jaccard @2e-4 x5"
        " | 3 cycles | 30 epochs",
    }


def test_they_take_over_its_shape_and_its_warm_up() -> None:
    best = LossSchedule.parse("cross_entropy @3.16e-3 x12 drop warmup 50 | 12 epochs")
    assert strings(named_controls(best, 12)) == {
        "weighted_ce": "weighted_ce(power=0.7) @0.00316 x12 drop warmup 50 | 12 epochs",
        "jaccard": "jaccard @0.00316 x12 drop warmup 50 | 12 epochs",
        "ce_dice": "cross_entropy + dice @0.00316 x12 drop warmup 50 | 12 epochs",
        # It falls by its second rate; a tenth of a rate is written as people would.
        "recipe": "weighted_ce(power=0.7) @0.00316 until recall>=0.9 in 1..2 warmup 50 -> jaccard @3.16e-4 x2"
        " | 3 cycles | 12 epochs",
    }


@pytest.mark.parametrize("epochs", range(1, 40))
def test_controls_take_the_whole_budget(epochs: int) -> None:
    found = {"cross_entropy": plain(epochs), **named_controls(plain(epochs), epochs)}
    assert tuple(found)[1:] == NAMED
    for schedule in found.values():
        assert schedule.epochs == epochs
        assert epochs - schedule.cycles < schedule.most_epochs <= epochs
    cursor = ScheduleCursor.start(found["recipe"])
    losses = set()
    while not cursor.finished:
        losses.add(cursor.current.loss_name)
        cursor = cursor.advance({"recall": 0.95})
    assert len(losses) == min(epochs, 2)


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("cross_entropy @1e-2 x12", True),
        ("cross_entropy @1e-2 x9 drop -> cross_entropy @1e-3 x3 fresh", True),
        ("cross_entropy(label_smoothing=0.1) @1e-2 x12", False),
        ("weighted_ce(power=0.1) @1e-2 x12", False),
        ("cross_entropy @1e-2 x9 -> jaccard @1e-3 x3", False),
        ("cross_entropy + dice @1e-2 x12", False),
    ],
)
def test_plain_cross_entropy_is_known_at_whatever_rates(line: str, is_one: bool) -> None:
    assert is_plain(LossSchedule.parse(line)) is is_one


def test_ablations_take_the_loss_and_the_switch_away() -> None:
    schedule = LossSchedule.parse(
        "focal @1e-3 until recall>=0.9 in 2..4 back <0.7 -> dice @1e-4 x4 cosine fresh | 3 cycles | 30 epochs"
    )
    assert strings(ablations(schedule)) == {
        "rates_alone": "cross_entropy @1e-3 until recall>=0.9 in 2..4 back <0.7"
        " -> cross_entropy @1e-4 x4 cosine fresh | 3 cycles | 30 epochs",
        # An ordinary drop at its end, as the schedule's last rate is below its first.
        "first_phase_alone": "focal @1e-3 x30 drop | 30 epochs",
        "one_loss": "focal @1e-3 until recall>=0.9 in 2..4 back <0.7 -> focal @1e-4 x4 cosine fresh"
        " | 3 cycles | 30 epochs",
    }


def test_rates_alone_keep_the_lengths_that_the_phases_really_had() -> None:
    schedule = LossSchedule.parse(
        "focal @1e-2 until recall>=0.9 in 2..5 -> dice @1e-4 x4 | 2 cycles | 16 epochs"
    )
    found = ablations(schedule, lengths=((0, 3), (1, 4), (2, 5), (3, 4)))
    assert (
        str(found["rates_alone"])
        == "cross_entropy @0.01 x3 -> cross_entropy @1e-4 x4 -> cross_entropy @0.01 x5"
        " -> cross_entropy @1e-4 x4 | 16 epochs"
    )
    by_length = LossSchedule.parse("focal @1e-2 x2 -> dice @1e-4 x4 | 6 epochs")
    assert str(ablations(by_length, lengths=((0, 1),))["rates_alone"]).startswith("cross_entropy @0.01 x2 ->")


def test_ablations_that_change_nothing_are_left_out() -> None:
    assert strings(ablations(LossSchedule.parse("dice @1e-3 x8 | 8 epochs"))) == {
        "rates_alone": "cross_entropy @1e-3 x8 | 8 epochs"
    }
    assert ablations(LossSchedule.parse("cross_entropy @1e-3 x8")) == {}
    one_loss_already = LossSchedule.parse("dice @1e-3 x4 -> dice @1e-4 x4")
    assert strings(ablations(one_loss_already)) == {
        "rates_alone": "cross_entropy @1e-3 x4 -> cross_entropy @1e-4 x4 | 8 epochs",
        "first_phase_alone": "dice @1e-3 x8 drop | 8 epochs",
    }


def test_a_first_phase_alone_gets_no_drop_that_the_schedule_has_not() -> None:
    rising = LossSchedule.parse("dice @1e-4 x4 -> focal @1e-3 x4")
    assert str(ablations(rising)["first_phase_alone"]) == "dice @1e-4 x8 | 8 epochs"
    shaped = LossSchedule.parse("dice @1e-3 x4 cosine -> focal @1e-4 x4")
    assert str(ablations(shaped)["first_phase_alone"]) == "dice @1e-3 x8 cosine | 8 epochs"


def test_ablations_of_a_schedule_without_a_budget_train_as_long_as_it_can() -> None:
    schedule = LossSchedule.parse("focal @1e-3 until recall>=0.9 in 2..4 -> dice @1e-4 x4 | 2 cycles")
    assert {ablation.epochs for ablation in ablations(schedule).values()} == {16}
