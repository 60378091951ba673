"""A paired difference over seeds: its mean, its t interval, and how many seeds would settle it."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy import special

CONFIDENCE: Final = 0.95
POWER: Final = 0.8
"""The chance to see a difference of the size seen that `PairedDifference.seeds_for` plans for."""
MOST_SEEDS: Final = 200
"""More seeds than these are not named: the difference is too small to be worth it."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Differences of two arms that trained with the same seeds: same initial weights, same data order.

    Three to five values have no usable bootstrap: its percentiles are far too narrow (docs/benchmarks.md
    has the calibration). Student's t interval holds for them as far as the differences are about normal.

    Attributes:
        values: one a seed; above 0 where the first arm is better.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference; 0 without values."""
        return statistics.fmean(self.values) if self.values else 0.0

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Where the mean over all seeds lies with this confidence (Student, 1908); infinite for one seed."""
        spread = self.deviation
        if spread is None:
            return -math.inf, math.inf
        half = _quantile(0.5 + confidence / 2, len(self.values)) * spread / math.sqrt(len(self.values))
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean over all seeds is 0 (Student's paired t test)."""
        spread, count = self.deviation, len(self.values)
        if spread is None:
            return 1.0
        if spread == 0.0:
            return 1.0 if self.mean == 0.0 else 0.0
        return float(2.0 * special.stdtr(count - 1, -abs(self.mean) / (spread / math.sqrt(count))))

    def seeds_for(self, margin: float, confidence: float = CONFIDENCE) -> int | None:
        """How many seeds it would probably take to tell: a difference, or that it lies within the margin.

        Planned as if the mean and the spread seen were the true ones, with a power of `POWER`; so it is a
        guess, and a rough one from few seeds.

        Returns:
            The number of seeds in all, or None when it is more than `MOST_SEEDS` or nothing is known yet.
        """
        spread = self.deviation
        if spread is None:
            return None
        mean = abs(self.mean)

        def enough(count: int) -> bool:
            quantiles = _quantile(0.5 + confidence / 2, count) + _quantile(POWER, count)
            powered = quantiles * spread / math.sqrt(count)
            return mean >= powered or mean + powered <= margin

        # More seeds never tell less, so the first number that tells can be bisected.
        counts = range(len(self.values) + 1, MOST_SEEDS + 1)
        first = bisect_left(counts, True, key=enough)
        return counts[first] if first < len(counts) else None


def paired(first: Sequence[float], second: Sequence[float], sign: float = 1.0) -> PairedDifference:
    """Return the differences of two arms, seed by seed.

    Args:
        first: the scores of the arm in question.
        second: those of the arm it is held against, in the same order of seeds.
        sign: 1 where more is better, -1 where less is.
    """
    return PairedDifference(tuple(sign * (a - b) for a, b in zip(first, second, strict=True)))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for their number (Holm, 1979): the family's error rate stays at the level."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def _quantile(share: float, count: int) -> float:
    # What `scipy.stats.t.ppf` comes down to, without its checks, which take a hundred times as long.
    return float(special.stdtrit(count - 1, share))
