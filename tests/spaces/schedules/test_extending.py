"""A schedule that is given more epochs begins as it did, wherever that is possible."""

from __future__ import annotations

import pytest

from lossweep.spaces.schedules.common_prefix import common_epochs
from lossweep.spaces.schedules.extending import extended, extension_words
from lossweep.spaces.schedules.schedule import LossSchedule

CASES = {
    "cross_entropy @1e-3 x12 | 12 epochs": ("cross_entropy @1e-3 x12 | 30 epochs", 12),
    "cross_entropy @1e-3 x8 -> jaccard @1e-4 x4 | 12 epochs": (
        "cross_entropy @1e-3 x8 -> jaccard @1e-4 x4 | 30 epochs",
        12,
    ),
    "cross_entropy @1e-3 x4 -> jaccard @1e-4 x2 | 2 cycles | 12 epochs": (
        "cross_entropy @1e-3 x4 -> jaccard @1e-4 x2 | 5 cycles | 30 epochs",
        12,
    ),
    "cross_entropy @1e-3 x4 cosine | 3 cycles | 12 epochs": (
        "cross_entropy @1e-3 x4 cosine | 8 cycles | 30 epochs",
        12,
    ),
    "cross_entropy @1e-3 x12 cosine | 12 epochs": ("cross_entropy @1e-3 x30 cosine | 30 epochs", 0),
    "cross_entropy @1e-3 x8 -> jaccard @1e-4 x4 drop | 12 epochs": (
        "cross_entropy @1e-3 x8 -> jaccard @1e-4 x22 drop | 30 epochs",
        8,
    ),
    # Cut by the budget: it goes on as it was meant to.
    "cross_entropy @1e-3 x40 cosine | 12 epochs": ("cross_entropy @1e-3 x40 cosine | 30 epochs", 12),
    "cross_entropy @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x6 cosine | 12 epochs": (
        "cross_entropy @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x24 cosine | 30 epochs",
        2,
    ),
    "cross_entropy @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 2 cycles | 12 epochs": (
        "cross_entropy @1e-3 until recall>=0.9 in 2..6 -> jaccard @1e-4 x4 | 5 cycles | 30 epochs",
        12,
    ),
}


@pytest.mark.parametrize("line", CASES)
def test_it_goes_on_from_where_it_can(line: str) -> None:
    expected, shared = CASES[line]
    before = LossSchedule.parse(line)
    after = extended(before, 30)
    assert after == LossSchedule.parse(expected)
    assert common_epochs(before, after) == shared
    words = extension_words(before, after)
    assert ("trained anew" in words) == (shared < 12)


def test_a_last_phase_that_waits_and_is_shaped_is_stretched() -> None:
    before = LossSchedule.parse("jaccard @1e-3 until recall>=0.9 in 2..12 cosine | 12 epochs")
    assert str(extended(before, 30)) == "jaccard @1e-3 until recall>=0.9 in 2..30 cosine | 30 epochs"


def test_a_ramp_is_a_shape_too() -> None:
    ramp = {"term": "focal", "gamma": {"from": 0.0, "to": 2.0}}
    phase = {"loss": ramp, "learning_rate": 1e-3, "epochs": 12}
    before = LossSchedule.model_validate({"phases": [phase], "epochs": 12})
    after = extended(before, 30)
    assert after.phases[0].epochs == 30
    assert "(a ramp)" in extension_words(before, after)


@pytest.mark.parametrize("epochs", [11, 12])
def test_it_has_to_be_more(epochs: int) -> None:
    with pytest.raises(ValueError, match="epochs must be above 12"):
        extended(LossSchedule.parse("jaccard @1e-3 x12 | 12 epochs"), epochs)
