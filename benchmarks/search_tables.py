"""The tables of ``benchmarks/search.py``: medians with bootstrapped intervals, and which targets are met."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import t

BASELINES: Final = ("random", "TPE, stock", "TPE + rungs")
CONFIRMING: Final = 4 * 3 * 12
"""Epochs of a confirmation: three leaders and the control, three seeds each."""
RESAMPLES: Final = 2000

Row = Mapping[str, Any]


def tables(rows: Sequence[Row]) -> list[str]:
    """For each space: what each arm ends with, and what it costs to come as far as a baseline ends."""
    lines: list[str] = []
    for space, found in _by(rows, "space").items():
        arms = _by(found, "arm")
        lines += [f"\n**{space}**, {len(arms['random'])} seeds:\n", _head(), "| --- " * 9 + "|"]
        ends = {name: float(np.median([end(row) for row in arms[name]])) for name in BASELINES}
        for name, own in arms.items():
            lines.append(_line(name, own, arms, ends))
    return lines


def _head() -> str:
    against = " | ".join(f"epochs to {name}'s end | times fewer" for name in BASELINES)
    return f"| arm | true score at the end | epochs | {against} |"


def _line(name: str, own: Sequence[Row], arms: Mapping[str, Sequence[Row]], ends: Mapping[str, float]) -> str:
    cells = [
        name,
        _interval([end(row) for row in own], np.median, "{:.4f}"),
        f"{np.mean([row['epochs'] for row in own]):.0f}",
    ]
    for baseline, target in ends.items():
        mine = np.array([until(row, target, 0) for row in own])
        theirs = np.array([row["epochs"] for row in arms[baseline]])
        cells += [_number(float(np.median(mine))), _ratio(theirs, mine)]
    return f"| {' | '.join(cells)} |"


def wall_and_confirmation(rows: Sequence[Row], arm: str = "ours") -> list[str]:
    """Wall time at eight workers, and epochs with a confirmation charged to both, of one arm."""
    lines = [
        "\n| space | baseline | times less wall time | times fewer epochs, confirmation charged |",
        "| --- " * 4 + "|",
    ]
    for space, found in _by(rows, "space").items():
        arms = _by(found, "arm")
        for name in BASELINES:
            target = float(np.median([end(row) for row in arms[name]]))
            seconds = np.array([until(row, target, 1) for row in arms[arm]])
            epochs = np.array([until(row, target, 0) for row in arms[arm]])
            wall = _ratio(np.array([row["seconds"] for row in arms[name]]), seconds)
            spent = np.array([row["epochs"] for row in arms[name]])
            lines.append(f"| {space} | {name} | {wall} | {_ratio(spent + CONFIRMING, epochs + CONFIRMING)} |")
    return lines


def paired_ends(rows: Sequence[Row], own: Sequence[str], others: Sequence[str]) -> list[str]:
    """How much more arms are truly worth at the end than others on the same seeds: means, Student's t."""
    found = {key: {row["seed"]: end(row) for row in each} for key, each in _by(rows, "space", "arm").items()}
    spaces = list(dict.fromkeys(space for space, _ in found))
    lines = [f"\n| arm | against | {' | '.join(spaces)} |", "| --- " * (2 + len(spaces)) + "|"]
    for arm in own:
        for other in others:
            cells = []
            for space in spaces:
                mine, theirs = found.get((space, arm), {}), found.get((space, other), {})
                gaps = [mine[seed] - theirs[seed] for seed in mine.keys() & theirs]
                cells.append(student(np.array(gaps)) if gaps else "")
            lines.append(f"| {arm} | {other} | {' | '.join(cells)} |")
    return lines


def paired_leads(rows: Sequence[Row], own: Sequence[str], others: Sequence[str]) -> list[str]:
    """How much higher leads over the control are than those of other arms on the same seeds."""
    leads = {key: each for key, (each, _) in small_leads(rows).items()}
    lines = ["\n| space | trials | arm | " + " | ".join(f"against {other}" for other in others) + " |"]
    lines.append("| --- " * (3 + len(others)) + "|")
    for space, trials, arm in leads:
        if arm in own:
            mine = np.array(leads[space, trials, arm])
            cells = [student(mine - np.array(leads[space, trials, other])) for other in others]
            lines.append(f"| {space} | {trials} | {arm} | {' | '.join(cells)} |")
    return lines


def student(differences: np.ndarray) -> str:
    """Their mean, with its 95 % interval by Student's t where there are two or more."""
    mean = float(differences.mean())
    if len(differences) < 2:
        return f"{mean:+.4f}"
    spread = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    return f"{mean:+.4f} ({mean - spread:+.4f}..{mean + spread:+.4f})"


def small_tables(rows: Sequence[Row]) -> list[str]:
    """For each small budget: how often the best schedule is truly better than the control, by how much.

    Each sweep has its own; One-Epoch, which searches none, is held against that of the random search.
    """
    lines = [
        "| space | trials | arm | truly better than the searched control | lead over it | epochs |",
        "| --- " * 6 + "|",
    ]
    for (space, trials, arm), (leads, spent) in small_leads(rows).items():
        share = _interval([float(lead > 0.0) for lead in leads], np.mean, "{:.2f}")
        lead = _interval(leads, np.mean, "{:+.4f}")
        lines.append(f"| {space} | {trials} | {arm} | {share} | {lead} | {spent:.0f} |")
    return lines


def small_leads(rows: Sequence[Row]) -> dict[tuple[str, int, str], tuple[list[float], float]]:
    """By space, budget and arm: leads over the searched control, at least -0.1 each; mean epochs."""
    at_random = {_key(row): row["control"] for row in rows if row["arm"] == "random"}
    found = {}
    for (space, trials, arm), own in _by(rows, "space", "trials", "arm").items():
        controls = [at_random.get(_key(row)) if row["control"] is None else row["control"] for row in own]
        pairs = zip(own, controls, strict=True)
        leads = [max(end(row) - best, -0.1) for row, best in pairs if best is not None]
        found[space, trials, arm] = leads, float(np.mean([row["epochs"] for row in own]))
    return found


def _key(row: Row) -> tuple[str, int, int]:
    return row["space"], row["trials"], row["seed"]


def _by(rows: Sequence[Row], *names: str) -> dict[Any, list[Row]]:
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)].append(row)
    return dict(found)


def end(row: Row) -> float:
    """What the incumbent is truly worth at the end; nothing where no trial completed."""
    return float(row["steps"][-1][2]) if row["steps"] else 0.0


def until(row: Row, target: float, column: int) -> float:
    """What was spent until the incumbent was truly as good; infinite when it never was."""
    return float(next((step[column] for step in row["steps"] if step[2] >= target), math.inf))


def _ratio(theirs: np.ndarray, mine: np.ndarray) -> str:
    """How many times less is spent: ratio of medians, with an interval over resampled seeds."""
    dice = np.random.default_rng(0)
    size = min(len(theirs), len(mine))
    picks = dice.integers(0, size, (RESAMPLES, size))
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = np.median(theirs[picks], axis=1) / np.median(mine[picks], axis=1)
        ratio = float(np.median(theirs) / np.median(mine))
    low, high = np.quantile(np.nan_to_num(resampled, nan=0.0), [0.025, 0.975])
    return "never" if ratio == 0.0 else f"{ratio:.1f} ({low:.1f}..{high:.1f})"


def _interval(values: Sequence[float], mean: Callable[[Any], Any], form: str) -> str:
    dice = np.random.default_rng(0)
    picks = dice.integers(0, len(values), (RESAMPLES, len(values)))
    resampled = [mean(np.array(values)[pick]) for pick in picks]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return f"{form.format(mean(values))} ({form.format(low)}..{form.format(high)})"


def _number(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.0f}"
