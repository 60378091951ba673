from __future__ import annotations

import itertools
import statistics

import pytest

from lossweep.search.simulation.planted_scores import TOP, PlantedScores
from lossweep.spaces.schedules.schedule import LossSchedule

RATES = [10.0 ** (-4.7 + 0.05 * step) for step in range(49)]
FIRST = ("cross_entropy", "weighted_ce(power=0.5)", "focal", "cross_entropy + dice")
LAST = ("jaccard", "dice", "tversky", "lovasz")


def read(line: str) -> LossSchedule:
    return LossSchedule.parse(f"{line} | 8 epochs")


def plain() -> list[LossSchedule]:
    shapes = ("", " cosine", " drop")
    return [read(f"cross_entropy @{rate:.6g} x8{shape}") for rate in RATES for shape in shapes]


def best_switching(trainer: PlantedScores) -> float:
    """The best of all losses, each at its best rate: what a choice costs does not depend on the others."""
    best = 0.0
    for first, last in itertools.product(FIRST, LAST):
        at = lambda a, b: trainer.quality(read(f"{first} @{a:.6g} x4 -> {last} @{b:.6g} x4"))  # noqa: B023, E731
        one = max(RATES, key=lambda rate: at(rate, RATES[0]))
        other = max(RATES, key=lambda rate: at(RATES[0], rate))
        best = max(best, at(one, other))
    return best


@pytest.mark.parametrize("advantage", [0.0, 2.0])
def test_the_best_of_either_side_are_as_far_apart_as_planted(advantage: float) -> None:
    trainer = PlantedScores(world=5, advantage=advantage)
    near = 0.02 * trainer.deviation
    assert best_switching(trainer) == pytest.approx(TOP, abs=near)
    least = TOP - advantage * trainer.deviation
    assert max(map(trainer.quality, plain())) == pytest.approx(least, abs=near)


def test_in_a_flat_world_nothing_is_worth_a_search() -> None:
    trainer = PlantedScores(advantage=1.0, flat=True)
    assert {trainer.quality(schedule) for schedule in plain()} == {TOP - trainer.deviation}
    assert trainer.quality(read("dice @1e-3 x4 -> lovasz @1e-5 x4")) == TOP


def test_seeds_spread_as_planted_and_have_a_part_in_common() -> None:
    trainer = PlantedScores(world=1)
    one, other = read("focal @1e-3 x8"), read("cross_entropy @1e-3 x8")
    a, b = ([trainer.score(schedule, seed) for seed in range(2000)] for schedule in (one, other))
    assert statistics.fmean(a) == pytest.approx(trainer.quality(one), abs=0.1 * trainer.deviation)
    assert statistics.stdev(a) == pytest.approx(trainer.deviation, rel=0.06)
    assert statistics.correlation(a, b) == pytest.approx(trainer.shared, abs=0.06)
    assert trainer.score(one, 7) == trainer.score(one, 7)
