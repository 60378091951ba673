"""What is known of a judged sweep whose truth is known, and the tables of many of them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lossweep.search.verdicts.paired import CONFIDENCE, PairedDifference
from lossweep.search.verdicts.verdict import Judged, Verdict


@dataclass(frozen=True, slots=True)
class Case:
    """One sweep. Differences are above 0 where the leader is better, errors where the figure is too good.

    Attributes:
        judged: the leader that the sentence is about.
        truth: its true mean difference to the control that the sweep found.
        leaders: every leader's judgement and truth.
        deviation: over seeds, of a score.
        confirmed_error: of the confirmed mean of that leader, in seed standard deviations of its own.
        searched_error: of the score by which the best trial of the search led, likewise.
        naive_lead: of that score over one training of a control that was not searched.
        naive_truth: that trial's true mean difference to the control that was searched.
    """

    judged: Judged
    truth: float
    leaders: tuple[tuple[Judged, float], ...]
    deviation: float
    confirmed_error: float
    searched_error: float
    naive_lead: float
    naive_truth: float


def calibration_table(cases: Mapping[str, Sequence[Case]]) -> str:
    """How often each verdict was given, and how often wrongly."""
    lines = [
        "| | sweeps | true difference, SD (median) | beats | ties | loses | cannot tell yet | false beats "
        "| false loses | beats, of those truly better |",
        "| --- " * 10 + "|",
    ]
    for name, given in cases.items():
        kinds = [sum(case.judged.verdict is kind for case in given) for kind in Verdict]
        beats = [case for case in given if case.judged.verdict is Verdict.BEATS]
        loses = [case for case in given if case.judged.verdict is Verdict.LOSES]
        false_beats = sum(case.truth <= 0.0 for case in beats)
        false_loses = sum(case.truth >= 0.0 for case in loses)
        better = sum(case.truth > 0.0 for case in given)
        lines.append(
            f"| {name} | {len(given)} | {_median([case.truth / case.deviation for case in given])} | "
            + " | ".join(_percent(kind, len(given)) for kind in kinds)
            + f" | {_bounded(false_beats, len(given))} | {_bounded(false_loses, len(given))} | "
            + f"{_percent(len(beats) - false_beats, better)} |"
        )
    return "\n".join(lines)


def coverage_table(cases: Mapping[str, Sequence[Case]]) -> str:
    """How often 95 % intervals hold the true difference, by the number of seeds they are taken from.

    Of each sweep's first leader: it was chosen by the search, and not by the seeds that the interval is of.
    """
    counts = (3, 4, 5)
    lines = [
        f"| 95 % intervals | {' | '.join(f't, {n} seeds' for n in counts)} | "
        f"{' | '.join(f'bootstrap, {n} seeds' for n in counts)} | all leaders at once |",
        "| --- " * (2 * len(counts) + 2) + "|",
    ]
    for name, given in cases.items():
        firsts = [(case.leaders[0][0].difference.values, case.leaders[0][1]) for case in given]
        cells = []
        for interval in (_student, _bootstrap):
            for count in counts:
                held = [_holds(interval(values[:count]), truth) for values, truth in firsts]
                cells.append(_bounded(sum(held), len(held)))
        family = [all(_holds(judged.interval, truth) for judged, truth in case.leaders) for case in given]
        cells.append(_bounded(sum(family), len(family)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def naive_table(cases: Mapping[str, Sequence[Case]]) -> str:
    """What is reported, and what the best trial of the search and one unsearched control would have said."""
    lines = [
        "| seed SDs | confirmed mean: bias | RMS error | within 0.5 | best of the search: bias | RMS error "
        "| naive lead, median | its truth, median | leads naively | and is truly no better |",
        "| --- " * 10 + "|",
    ]
    for name, given in cases.items():
        confirmed = [case.confirmed_error for case in given]
        searched = [case.searched_error for case in given]
        within = sum(abs(error) <= 0.5 for error in confirmed)
        leads = [case for case in given if case.naive_lead > 0.0]
        false = sum(case.naive_truth <= 0.0 for case in leads)
        lines.append(
            f"| {name} | {_mean(confirmed)} | {_rms(confirmed):.2f} | {_percent(within, len(given))} | "
            f"{_mean(searched)} | {_rms(searched):.2f} | "
            f"{_median([case.naive_lead / case.deviation for case in given])} | "
            f"{_median([case.naive_truth / case.deviation for case in given])} | "
            f"{_percent(len(leads), len(given))} | {_bounded(false, len(given))} |"
        )
    return "\n".join(lines)


def _student(values: tuple[float, ...]) -> tuple[float, float]:
    return PairedDifference(values).interval()


def _bootstrap(values: tuple[float, ...]) -> tuple[float, float]:
    """The percentiles of all means of as many values drawn with replacement: all of them, not a sample."""
    means = np.asarray(values)[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)


@cache
def _resamples(count: int) -> NDArray[np.int64]:
    return np.array(list(itertools.product(range(count), repeat=count)))


def _holds(interval: tuple[float, float], truth: float) -> bool:
    # What has no spread has an interval of one point; it is met but for rounding.
    return interval[0] - 1e-12 <= truth <= interval[1] + 1e-12


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _bounded(part: int, whole: int) -> str:
    """A share with its 95 % interval (Wilson, 1927)."""
    z = 1.96
    center = (part + z * z / 2) / (whole + z * z)
    half = z / (whole + z * z) * math.sqrt(part * (whole - part) / whole + z * z / 4)
    return f"{100 * part / whole:.1f} % ({100 * max(0.0, center - half):.1f}-{100 * (center + half):.1f})"


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):+.2f}"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):+.2f}"


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value * value for value in values))
