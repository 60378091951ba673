from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from scipy import stats

from lossweep.search.verdicts.paired import MOST_SEEDS, PairedDifference, holm, paired
from lossweep.search.verdicts.verdict import Verdict, judge


def drawn(seed: int, count: int, mean: float = 0.01, deviation: float = 0.02) -> tuple[float, ...]:
    dice = random.Random(seed)
    return tuple(dice.gauss(mean, deviation) for _ in range(count))


@pytest.mark.parametrize("count", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 1 - 0.05 / 3])
def test_interval_and_p_value_are_those_of_the_paired_t_test(count: int, confidence: float) -> None:
    first, second = drawn(count, count, 0.70), drawn(100 + count, count, 0.69)
    difference = paired(first, second)
    reference = stats.ttest_rel(first, second)
    interval = reference.confidence_interval(confidence)
    assert difference.interval(confidence) == pytest.approx((interval.low, interval.high))
    assert difference.p_value == pytest.approx(reference.pvalue)
    one = stats.ttest_1samp(difference.values, 0.0)
    assert difference.p_value == pytest.approx(one.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_leaves_zero_out_exactly_when_the_p_value_is_below_the_level(seed: int) -> None:
    for count in (2, 3, 5, 8):
        difference = PairedDifference(drawn(seed, count))
        low, high = difference.interval(0.95)
        assert (low > 0.0 or high < 0.0) == (difference.p_value < 0.05)


def test_less_is_better_turns_the_difference_round() -> None:
    first, second = drawn(1, 5, 0.3), drawn(2, 5, 0.4)
    more, less = paired(first, second), paired(first, second, -1.0)
    assert less.mean == pytest.approx(-more.mean)
    assert less.p_value == pytest.approx(more.p_value)
    low, high = more.interval()
    assert less.interval() == pytest.approx((-high, -low))


def test_an_arm_against_itself_has_no_difference() -> None:
    own = paired(drawn(1, 5), drawn(1, 5))
    assert own.values == (0.0,) * 5
    assert (own.mean, own.deviation, own.p_value) == (0.0, 0.0, 1.0)
    assert own.interval() == (0.0, 0.0)


def test_arms_of_different_seeds_are_not_paired() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired((0.1, 0.2), (0.1,))


@pytest.mark.parametrize("values", [(), (0.1,)])
def test_one_seed_says_nothing(values: tuple[float, ...]) -> None:
    difference = PairedDifference(values)
    assert difference.deviation is None
    assert difference.interval() == (-math.inf, math.inf)
    assert difference.p_value == 1.0
    assert difference.seeds_for(0.005) is None
    assert not math.isnan(difference.mean)


def test_without_a_spread_the_sign_is_certain() -> None:
    difference = PairedDifference((0.25,) * 4)
    assert difference.interval() == (0.25, 0.25)
    assert difference.p_value == 0.0
    assert difference.seeds_for(0.005) == 5


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ((), ()),
        ((0.04,), (0.04,)),
        # Holm (1979): the smallest times their number, the next times one less, never below one before it.
        ((0.01, 0.04, 0.03, 0.005), (0.03, 0.06, 0.06, 0.02)),
        ((0.02, 0.02, 0.02), (0.06, 0.06, 0.06)),
        ((0.9, 0.5), (1.0, 1.0)),
        ((0.0, 1.0), (0.0, 1.0)),
        ((0.01, 0.011), (0.02, 0.02)),
    ],
)
def test_holm(given: tuple[float, ...], adjusted: tuple[float, ...]) -> None:
    assert holm(given) == pytest.approx(adjusted)


@pytest.mark.parametrize("seed", range(20))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(seed: int) -> None:
    dice = random.Random(seed)
    given = [dice.random() ** 3 for _ in range(dice.randint(1, 6))]
    adjusted = holm(given)
    for own, after in zip(given, adjusted, strict=True):
        assert own <= after <= min(1.0, len(given) * own)
    by_own = sorted(range(len(given)), key=lambda i: given[i])
    assert [adjusted[i] for i in by_own] == sorted(adjusted)


def test_seeds_needed_are_the_first_number_that_is_enough() -> None:
    """Held against going through all numbers, with quantiles of the other side of the distribution."""
    for seed in range(12):
        difference = PairedDifference(drawn(seed, 4, mean=0.004 * seed))
        mean, spread = abs(difference.mean), statistics.stdev(difference.values)
        for margin in (0.0, 0.02, 0.06):
            enough = None
            for count in range(5, MOST_SEEDS + 1):
                error = spread / math.sqrt(count)
                powered = (stats.t.isf(0.025, count - 1) + stats.t.isf(0.2, count - 1)) * error
                if mean >= powered or mean + powered <= margin:
                    enough = count
                    break
            assert difference.seeds_for(margin) == enough


def test_more_seeds_are_needed_for_less() -> None:
    base = (-1.5, -0.5, 0.5, 1.5)
    means = (0.5, 0.75, 1.0, 2.0, 4.0)
    needed = [PairedDifference(tuple(v + mean for v in base)).seeds_for(0.0) for mean in means]
    known = [count for count in needed if count is not None]
    assert len(known) == len(means)
    assert known == sorted(known, reverse=True)
    assert known[0] > known[-1]
    assert PairedDifference(base).seeds_for(0.0) is None  # no difference, and no margin to lie within
    assert PairedDifference(base).seeds_for(2.0) is not None
    surer = PairedDifference(tuple(v + 1.0 for v in base)).seeds_for(0.0, confidence=0.99)
    assert surer is not None
    assert surer > known[2]


def test_so_many_seeds_tell_about_as_often_as_was_planned() -> None:
    dice = np.random.default_rng(0)
    difference = PairedDifference((0.2, 1.0, -0.4, 1.2, 0.5))
    needed = difference.seeds_for(0.0)
    assert needed is not None
    samples = dice.normal(difference.mean, difference.deviation, size=(4000, needed))
    power = float((stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).mean())
    assert 0.77 <= power <= 0.86


def test_the_interval_covers_and_a_percentile_bootstrap_does_not() -> None:
    dice = np.random.default_rng(1)
    samples = dice.normal(size=(1000, 5))
    held = sum(low <= 0.0 <= high for low, high in (PairedDifference(tuple(s)).interval() for s in samples))
    assert 0.93 <= held / 1000 <= 0.97
    drawn_again = samples[:, dice.integers(5, size=(500, 5))].mean(axis=2)
    low, high = np.quantile(drawn_again, [0.025, 0.975], axis=1)
    assert float(((low <= 0.0) & (high >= 0.0)).mean()) < 0.9


def test_false_beats_stay_below_the_level_over_several_leaders() -> None:
    dice = np.random.default_rng(2)
    beats = 0
    for _ in range(300):
        control = dice.normal(size=5)
        leaders = [paired(tuple(dice.normal(size=5)), tuple(control)) for _ in range(3)]
        beats += any(each.verdict is Verdict.BEATS for each in judge(leaders, 0.0))
    assert beats / 300 <= 0.05
