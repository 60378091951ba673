from __future__ import annotations

import itertools

import pytest

from lossweep.search.verdicts.simplicity import complexity
from lossweep.spaces.schedules.schedule import LossSchedule

SIMPLEST_FIRST = (
    "cross_entropy @1e-3 x8 | 8 epochs",
    "cross_entropy @1e-3 x8 drop | 8 epochs",
    "cross_entropy @1e-3 x4 -> cross_entropy @1e-4 x4 | 8 epochs",
    "dice @1e-3 x8 | 8 epochs",
    "dice @1e-3 x8 cosine | 8 epochs",
    "cross_entropy + 0.5 * dice @1e-3 x8 | 8 epochs",
    "cross_entropy @1e-3 x4 -> dice @1e-4 x4 | 8 epochs",
    "cross_entropy @1e-3 until recall>=0.8 in 1..4 -> dice @1e-4 x4 | 8 epochs",
    "cross_entropy @1e-3 x2 -> dice @1e-4 x2 | 2 cycles | 8 epochs",
)


def read(line: str) -> LossSchedule:
    return LossSchedule.parse(line)


@pytest.mark.parametrize(("simpler", "other"), itertools.pairwise(SIMPLEST_FIRST))
def test_each_is_simpler_than_the_next(simpler: str, other: str) -> None:
    assert complexity(read(simpler)) < complexity(read(other))


def test_plain_cross_entropy_is_simpler_than_any_loss_however_many_phases_it_has() -> None:
    many = read("cross_entropy @1e-3 x1 -> cross_entropy @1e-4 x1 | 4 cycles | 8 epochs")
    assert complexity(many) < complexity(read("jaccard @1e-3 x8 | 8 epochs"))


def test_rates_and_parameters_make_nothing_simpler() -> None:
    one = read("focal(gamma=2.0) @1e-3 x8 | 8 epochs")
    other = read("focal(gamma=3.0) @1e-4 x8 | 8 epochs")
    assert complexity(one) == complexity(other)
