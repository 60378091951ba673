from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.search.pruning.curves import Curve
from lossweep.search.pruning.rules import BelowMedian, Judgement, NoPruning, Patient, Rungs
from tests.search.sweeps import evaluation, schedule

ONE = schedule("cross_entropy")


def curve(number: int, *values: float) -> Curve:
    made = Curve(number, ONE, "ap", 1.0)
    for epoch, value in enumerate(values, start=1):
        made.add(evaluation(epoch, value))
    return made


def peers(*levels: float, epochs: int = 8) -> list[Curve]:
    return [curve(100 + i, *([level] * epochs)) for i, level in enumerate(levels)]


def test_a_curve_is_a_running_best_and_ignores_repeats() -> None:
    made = curve(0, 0.1, 0.4, 0.3)
    made.add(evaluation(2, 0.9))
    assert made.bests == [0.1, 0.4, 0.4]
    assert made.best_at(0.25) == 0.4
    assert made.best_at(0.2) == 0.1
    assert made.best_at(0.1) is None
    assert made.best_at(0.5) is None
    assert made.stagnant() == 1


def test_less_is_better_is_turned_round_and_a_missing_metric_is_no_gain() -> None:
    made = Curve(0, ONE, "count_error", -1.0)
    made.add(evaluation(1, count_error=0.5))
    made.add(evaluation(2))
    made.add(evaluation(3, count_error=0.2))
    assert made.bests == [-0.5, -0.5, -0.2]


@pytest.mark.parametrize(
    ("rank", "pruned"), [(0.9, False), (0.65, False), (0.45, True), (0.1, True), (0.6, False)]
)
def test_the_lower_half_ends_at_a_rung(rank: float, pruned: bool) -> None:
    judged = Rungs((0.25,), keep=0.5, min_peers=4).judge(curve(0, rank, rank), peers(0.8, 0.6, 0.5, 0.3, 0.2))
    assert judged.prune is pruned
    assert judged.figures["peers"] == 5
    assert "rung 0.25" in judged.reason


def test_nothing_is_pruned_with_too_few_peers_or_off_a_rung() -> None:
    rule = Rungs((0.25, 0.5), keep=0.5, min_peers=4)
    assert not rule.judge(curve(0, 0.0, 0.0), peers(0.9, 0.9, 0.9)).prune
    assert not rule.judge(curve(0, 0.0), peers(0.9, 0.9, 0.9, 0.9)).prune
    assert not rule.judge(curve(0, 0.0, 0.0, 0.0), peers(*[0.9] * 4)).prune
    assert rule.judge(curve(0, 0.0, 0.0, 0.0, 0.0), peers(*[0.9] * 4)).prune
    assert not rule.judge(curve(0, *[0.0] * 8), peers(*[0.9] * 4)).prune


def test_peers_count_as_they_were_at_this_share() -> None:
    late = [curve(100 + i, 0.1, 0.1, 0.1, 0.9, 0.9) for i in range(4)]
    assert not Rungs((0.25,), 0.5, 4).judge(curve(0, 0.2, 0.2), late).prune


def test_a_cycle_is_compared_at_its_end_with_what_peers_had_there() -> None:
    cycling = schedule("cross_entropy", "jaccard", cycles=2)
    made = Curve(0, cycling, "ap", 1.0)
    rule = Rungs((0.25,), 0.5, 4)
    for epoch in (1, 2, 3):
        made.add(evaluation(epoch, 0.05, phase=(epoch - 1) // 2))
        assert not rule.judge(made, peers(*[0.9] * 4)).prune
    made.add(evaluation(4, 0.05, phase=1, cycle_ended=True))
    judged = rule.judge(made, peers(*[0.9] * 4))
    assert judged.prune
    assert judged.figures["share"] == 0.5


def test_the_last_phase_is_compared_even_though_its_cycle_never_ends_early() -> None:
    made = Curve(0, schedule("cross_entropy", "jaccard"), "ap", 1.0)
    made.add(evaluation(2, 0.05, phase=0))
    assert not Rungs((0.25,), 0.5, 4).judge(made, peers(*[0.9] * 4)).prune
    made.add(evaluation(3, 0.05, phase=1))
    assert Rungs((0.25,), 0.5, 4).judge(made, peers(*[0.9] * 4)).prune


@given(
    own=st.floats(0, 1),
    others=st.lists(st.floats(0, 1), min_size=4, max_size=20),
    keep=st.floats(0.1, 1.0),
)
@settings(max_examples=80, deadline=None)
def test_of_all_that_came_so_far_about_keep_would_go_on(own: float, others: list, keep: float) -> None:
    judged = Rungs((0.25,), keep, 4).judge(curve(0, own, own), peers(*others))
    better = sum(other > own for other in others)
    kept = max(1, int(keep * (len(others) + 1)))
    assert judged.prune == (better >= kept)


def test_the_best_is_never_pruned() -> None:
    for rule in (Rungs((0.25,), 0.1, 1), BelowMedian(0.1, 1), NoPruning()):
        assert not rule.judge(curve(0, 0.9, 0.9), peers(0.1, 0.2, 0.3, 0.9)).prune


def test_below_the_median() -> None:
    rule = BelowMedian(0.2, 3)
    assert rule.judge(curve(0, 0.1, 0.3), peers(0.2, 0.4, 0.6)).prune
    assert not rule.judge(curve(0, 0.1, 0.4), peers(0.2, 0.4, 0.6)).prune
    assert not rule.judge(curve(0, 0.1), peers(0.2, 0.4, 0.6)).prune
    assert not rule.judge(curve(0, 0.1, 0.1), peers(0.2, 0.4)).prune


class _Always:
    def judge(self, trial: Curve, peers: Sequence[Curve]) -> Judgement:
        return Judgement(True, "always")


@pytest.mark.parametrize(("values", "pruned"), [((0.1, 0.2, 0.3), False), ((0.3, 0.2, 0.1), True)])
def test_patience_waits_while_a_trial_improves(values: tuple, pruned: bool) -> None:
    judged = Patient(_Always(), 2).judge(curve(0, *values), [])
    assert judged.prune is pruned
    assert pruned or "still improving" in judged.reason
