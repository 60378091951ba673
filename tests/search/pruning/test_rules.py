from __future__ import annotations

from collections.abc import Sequence
from random import Random

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


@pytest.mark.parametrize(
    ("own", "prune", "reason"),
    [
        (0.9, False, "rank 1 of 4 at rung 0.25"),
        (0.7, False, "rank 2 of 4 at rung 0.25"),
        (0.5, True, "rank 3 of 4 at rung 0.25: 0.5 against a cutoff of 0.6"),
        (0.1, True, "rank 4 of 4 at rung 0.25: 0.1 against a cutoff of 0.6"),
    ],
)
def test_a_rung_says_where_a_trial_stands(own: float, prune: bool, reason: str) -> None:
    judged = Rungs((0.25,), keep=0.5, min_peers=3).judge(curve(0, own, own), peers(0.8, 0.6, 0.3))
    assert (judged.prune, judged.reason) == (prune, reason)
    cutoff = 0.7 if own == 0.7 else 0.8 if own == 0.9 else 0.6
    rank = float(reason.split()[1])
    assert judged.figures == {
        "rung": 0.25,
        "share": 0.25,
        "own": own,
        "cutoff": cutoff,
        "rank": rank,
        "peers": 3.0,
    }
    few = Rungs((0.25,), keep=0.5, min_peers=4).judge(curve(0, own, own), peers(0.8, 0.6, 0.3))
    assert few == Judgement(False, "too few peers at rung 0.25", {"rung": 0.25, "peers": 3.0})


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


@pytest.mark.parametrize(
    ("keep", "trials", "go_on"),
    [
        (0.5, 2, 1), (0.5, 3, 1), (0.5, 4, 2), (0.5, 5, 2), (0.5, 6, 3), (0.5, 7, 3), (0.5, 9, 4),
        (0.25, 3, 1), (0.25, 4, 1), (0.25, 7, 1), (0.25, 8, 2), (0.25, 9, 2),
        (0.1, 9, 1), (0.1, 10, 1), (0.1, 19, 1), (0.1, 20, 2),
        (0.29, 100, 29), (0.9, 10, 9), (0.99, 10, 9), (1.0, 5, 5),
    ],
)  # fmt: skip
def test_of_so_many_trials_so_many_go_on(keep: float, trials: int, go_on: int) -> None:
    """Each of them judged among all others; the best ones are those that go on."""
    field = [curve(number, *[number / trials] * 2) for number in range(trials)]
    rule = Rungs((0.25,), keep, 1)
    judged = [rule.judge(one, [other for other in field if other is not one]) for one in field]
    pruned = [judgement.prune for judgement in judged]
    assert pruned == [True] * (trials - go_on) + [False] * go_on
    assert [judgement.figures["rank"] for judgement in judged] == list(range(trials, 0, -1))


@given(
    own=st.floats(0, 1),
    more=st.floats(0, 1),
    others=st.lists(st.floats(0, 1), min_size=4, max_size=20),
    percent=st.integers(10, 100),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=80)
def test_a_better_trial_is_never_ended_where_a_worse_one_goes_on(
    own: float, more: float, others: list[float], percent: int, order: Random
) -> None:
    rule = Rungs((0.25,), percent / 100, 4)
    low, high = sorted((own, more))
    field = peers(*others)
    worse, better = (rule.judge(curve(0, level, level), field) for level in (low, high))
    assert worse.prune or not better.prune
    shuffled = order.sample(field, len(field))
    assert rule.judge(curve(0, low, low), shuffled) == worse  # in whatever order the others came
    tied = rule.judge(curve(0, *[max(others)] * 2), field)
    assert not tied.prune  # who is as good as the best goes on
    kept = percent * (len(others) + 1) // 100  # whole numbers: 0.29 of 100 is 28.999... in floats
    assert rule.judge(curve(0, -0.1, -0.1), field).prune is (kept <= len(others))


def test_a_trial_is_compared_once_a_rung_and_at_a_share_that_equals_it() -> None:
    field = peers(*[0.9] * 4)
    rungs = Rungs((0.25, 0.5), 0.5, 4)
    found = [rungs.judge(curve(0, *[0.1] * epochs), field).prune for epochs in range(1, 9)]
    assert found == [False, True, False, True, False, False, False, False]
    median = BelowMedian(0.25, 4)
    found = [median.judge(curve(0, *[0.1] * epochs), field).prune for epochs in range(1, 9)]
    assert found == [False, *[True] * 6, False]


def test_of_two_rungs_passed_at_once_the_later_one_is_named() -> None:
    made = Curve(0, ONE, "ap", 1.0)
    made.add(evaluation(5, 0.1))
    judged = Rungs((0.25, 0.5), 0.5, 4).judge(made, peers(*[0.9] * 4))
    assert (judged.prune, judged.figures["rung"], judged.figures["share"]) == (True, 0.5, 0.625)


def test_just_enough_peers_are_enough() -> None:
    for rule in (Rungs((0.25,), 0.5, 3), BelowMedian(0.25, 3)):
        assert rule.judge(curve(0, 0.1, 0.1), peers(0.9, 0.9, 0.9)).prune
        judged = rule.judge(curve(0, 0.1, 0.1), [*peers(0.9, 0.9), curve(9, 0.9)])  # one has not come as far
        assert (judged.prune, judged.figures["peers"]) == (False, 2.0)


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
