"""How far two schedules train alike, by example; the property lies with the trainer's tests."""

from __future__ import annotations

import pytest

from lossweep.spaces.schedules.common_prefix import common_epochs
from lossweep.spaces.schedules.schedule import LossSchedule

WAITS = "dice @1 until recall>=0.9 in 2..4"


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        ("dice @1 x4", "dice @1 x4", 8),
        ("dice @1 x4", "dice @2 x4", 0),
        # Constant phases are alike whatever their lengths; the last one goes on until the budget is spent.
        ("dice @1 x3 -> jaccard @1 x5", "dice @1 x5 -> jaccard @1 x3", 3),
        ("dice @1 x3", "dice @1 x5", 8),
        ("dice @1 x3 -> jaccard @1 x1", "dice @1 x3 -> jaccard @2 x1", 3),
        # What falls or ramps does so over the most epochs of its phase.
        ("dice @1 x3 cosine -> jaccard @1 x5", "dice @1 x5 cosine -> jaccard @1 x3", 0),
        ("dice @1 x3 cosine -> jaccard @1 x5", "dice @1 x3 cosine -> jaccard @2 x5", 3),
        ("focal(gamma=0..2) @1 x3", "focal(gamma=0..2) @1 x4", 0),
        # Cycles are followed, however they are written.
        ("dice @1 x1 -> jaccard @1 x1 | 2 cycles", "dice @1 x1 -> jaccard @1 x1 | 3 cycles", 4),
        ("dice @1 x1 -> jaccard @1 x1 | 2 cycles", "dice @1 x1 -> jaccard @1 x2", 2),
        # An until: whole phases that are equal, or else its least epochs.
        (f"{WAITS} -> jaccard @1 x9", f"{WAITS} -> jaccard @1 x9", 8),
        (f"{WAITS} -> jaccard @1 x9", f"{WAITS} -> jaccard @2 x9", 2),
        (f"{WAITS} -> jaccard @1 x9", "dice @1 until recall>=0.8 in 2..4 -> jaccard @1 x9", 2),
        (f"{WAITS} -> jaccard @1 x9", "dice @1 x4 -> jaccard @1 x9", 2),
        (f"{WAITS} -> dice @1 x9", "dice @1 until f1>=0.9 in 1..4 -> jaccard @1 x9", 1),
        # A way back that only one of them has.
        (f"{WAITS} back <0.5 -> jaccard @1 x9", f"{WAITS} -> jaccard @1 x9", 3),
    ],
)
def test_how_many_epochs_are_surely_common(first: str, second: str, common: int) -> None:
    schedules = [LossSchedule.parse(f"{line} | 8 epochs") for line in (first, second)]
    assert common_epochs(*schedules) == common_epochs(*reversed(schedules)) == common


def test_the_shorter_budget_ends_what_is_common() -> None:
    assert common_epochs(LossSchedule.parse("dice @1 x3"), LossSchedule.parse("dice @1 x5")) == 3


def test_an_epoch_without_a_checkpoint_cannot_be_gone_on_from() -> None:
    first = LossSchedule.parse("dice @1 x5 -> jaccard @1 x3")
    assert common_epochs(first, LossSchedule.parse("dice @1 x5 -> jaccard @2 x3"), 2) == 5
    assert common_epochs(first, LossSchedule.parse("dice @1 x6 -> jaccard @2 x2"), 2) == 4
