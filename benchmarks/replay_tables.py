"""The tables of ``replay.py`` beside those of ``search.py``: the record itself, and all in short."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from recorded_space import PlainOnes
from scipy.stats import spearmanr
from search_tables import BASELINES, RESAMPLES, Row, end, small_leads, student, until

MEASURES: Final = (
    "validation, by the other seeds",
    "test, by the other seeds",
    "test, by the same training",
)
"""What a schedule is worth."""
ALL: Final = "all"


class Searched(Protocol):
    """A data set and the recorded seed that it is searched with: `replay.Pair`."""

    @property
    def name(self) -> str:
        """As it stands in tables."""

    @property
    def seen(self) -> Mapping[str, float]:
        """What every schedule came to on validation with the searched seed."""

    @property
    def truth(self) -> Mapping[str, tuple[float, ...]]:
        """What it is truly worth, by each of `MEASURES`; NaN for not known."""


def measured(rows: Sequence[Row], pairs: Mapping[str, Searched], measure: str) -> list[dict[str, Any]]:
    """The runs on pairs that have this measure, with what it says of incumbents in place of their lines."""
    at = MEASURES.index(measure)
    found = []
    for row in rows:
        truth = pairs[row["space"]].truth
        if not any(math.isnan(worth[at]) for worth in truth.values()):
            steps = [[epochs, seconds, truth[line][at]] for epochs, seconds, line in row["steps"]]
            control = truth[row["control"]][at] if row["control"] else None
            found.append({**row, "steps": steps, "control": control})
    return found


def of_the_record(pairs: Sequence[Searched]) -> list[str]:
    """What could be found at all, by whoever trains every schedule with the searched seed."""
    lines = [
        "| searched with | worth | the best | picked after training all | plain cross-entropy, so picked"
        " | the median | sd over schedules | rank correlation with what the search sees |",
        "| --- " * 8 + "|",
    ]
    plain = {str(schedule) for schedule in PlainOnes().all()}
    for pair in pairs:
        order = sorted(pair.seen, key=lambda line: -pair.seen[line])
        control = next(line for line in order if line in plain)
        seen = [pair.seen[line] for line in order]
        for column, measure in enumerate(MEASURES):
            worth = [pair.truth[line][column] for line in order]
            if math.isnan(worth[0]):
                continue
            figures = (max(worth), worth[0], pair.truth[control][column], np.median(worth), np.std(worth))
            cells = " | ".join(f"{each:.3f}" for each in figures)
            lines.append(f"| {pair.name} | {measure} | {cells} | {spearmanr(seen, worth)[0]:.2f} |")
    return lines


def ends(rows: Sequence[Row], baseline: str = "random") -> list[str]:
    """What each arm's incumbents are worth at the end, against a baseline's, and what both have trained.

    The difference is paired: of means over search seeds, for each searched recorded seed. Its interval is
    Student's t over those pairs, a handful; of the search seeds alone it would be far too narrow. Arms that
    were not run on all pairs are left out.
    """
    pairs = sorted({row["space"] for row in rows})
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["arm"]][row["space"]].append(row)
    theirs = _means(found[baseline], pairs)
    lines = [
        f"| arm | epochs trained | worth at the end | more than {baseline}, {len(pairs)} pairs |",
        "| --- " * 4 + "|",
    ]
    for arm, by_pair in found.items():
        if set(by_pair) != set(pairs):
            continue
        own = _means(by_pair, pairs)
        epochs = np.mean([row["epochs"] for each in by_pair.values() for row in each])
        cells = [
            arm,
            f"{epochs:.0f}",
            f"{own.mean():.4f}",
            "-" if arm == baseline else student(own - theirs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def small_over_pairs(rows: Sequence[Row]) -> list[str]:
    """What `small_tables` says of each pair, as means over the pairs; the lead's interval is over them."""
    found: dict[tuple[int, str], list[tuple[list[float], float]]] = defaultdict(list)
    for (_, trials, arm), each in small_leads(rows).items():
        found[trials, arm].append(each)
    lines = ["| trials | arm | truly better than the searched control | lead over it | epochs |"]
    lines.append("| --- " * 5 + "|")
    for (trials, arm), pairs in found.items():
        better = np.mean([np.mean(np.array(leads) > 0.0) for leads, _ in pairs])
        lead = student(np.array([np.mean(leads) for leads, _ in pairs]))
        spent = np.mean([epochs for _, epochs in pairs])
        lines.append(f"| {trials} | {arm} | {better:.2f} | {lead} | {spent:.0f} |")
    return lines


def _means(by_pair: Mapping[str, Sequence[Row]], pairs: Sequence[str]) -> np.ndarray:
    return np.array([np.mean([end(row) for row in by_pair[pair]]) for pair in pairs])


def condensed(rows: Sequence[Row]) -> list[str]:
    """How many times fewer epochs each arm needs to come as far as a baseline ends, by data set.

    Each run is held against the target and the epochs of the baseline of its own pair; medians over the runs
    of all of a data set's pairs, and over all. Runs that never come so far count as endless.
    """
    baselines = [name for name in BASELINES if any(row["arm"] == name for row in rows)]
    head = " | ".join(f"times fewer than {name}" for name in baselines)
    lines = [f"\n| data set | arm | {head} |", "| --- " * (2 + len(baselines)) + "|"]
    shares: dict[tuple[str, str], dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for space in dict.fromkeys(row["space"] for row in rows):
        found = [row for row in rows if row["space"] == space]
        dataset = space.partition(",")[0]
        for baseline in baselines:
            theirs = [row for row in found if row["arm"] == baseline]
            target = float(np.median([end(row) for row in theirs]))
            spent = float(np.median([row["epochs"] for row in theirs]))
            for arm in dict.fromkeys(row["arm"] for row in found):
                own = [until(row, target, 0) / spent for row in found if row["arm"] == arm]
                for group in (dataset, ALL):
                    shares[group, arm][baseline].append(own)
    for group in dict.fromkeys(group for group, _ in sorted(shares, key=lambda key: key[0] == ALL)):
        for (each, arm), found_by in shares.items():
            if each == group:
                cells = " | ".join(_times(found_by[baseline]) for baseline in baselines)
                lines.append(f"| {group} | {arm} | {cells} |")
    return lines


def _times(shares: Sequence[Sequence[float]]) -> str:
    """1 over the median share of the baseline's epochs; seeds resampled within each pair."""
    dice = np.random.default_rng(0)
    resampled = np.concatenate(
        [np.array(own)[dice.integers(0, len(own), (RESAMPLES, len(own)))] for own in shares], axis=1
    )
    median = float(np.median(np.concatenate([np.array(own) for own in shares])))
    low, high = np.quantile(1.0 / np.median(resampled, axis=1), [0.025, 0.975])
    return "never" if np.isinf(median) else f"{1.0 / median:.1f} ({low:.1f}..{high:.1f})"
