"""What fresh seeds found: every arm's scores, and leader against control seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from lossweep.dashboards.report.plots.style import CONTROL, INK, MUTED, Plot, layout, rounded, text
from lossweep.dashboards.result import metric_words
from lossweep.search.study.confirmation import Role
from lossweep.search.verdicts.result import ArmScores, LeaderResult, SweepVerdict

BETTER: Final = "#0072b2"
WORSE: Final = "#d55e00"
"""Blue and vermillion of Okabe and Ito; what is worse is dashed, too."""
MOST_PAIRS: Final = 4
"""Leaders whose pairs are drawn side by side; more would not be told apart on a narrow page."""

_SHORT: Final[Mapping[Role, str]] = {
    Role.LEADER: "<b>leader #{}</b>",
    Role.CONTROL: "<b>control #{}</b>",
    Role.RATES_ALONE: "#{} rates, plain CE",
    Role.FIRST_PHASE_ALONE: "#{} first phase",
    Role.ONE_LOSS: "#{} first loss",
}
_COLORS: Final[Mapping[Role, str]] = {Role.LEADER: BETTER, Role.CONTROL: CONTROL}
_SYMBOLS: Final[Mapping[Role, str]] = {Role.LEADER: "circle", Role.CONTROL: "diamond"}
_APART: Final = 1.6
"""Of two pairs, in widths of a pair."""


def confirmed_arms(verdict: SweepVerdict) -> Plot | None:
    """Return every arm as a row: a dot a seed, and under them the mean with its t interval."""
    arms = [arm for arm in verdict.arms if arm.scores]
    if not arms:
        return None
    rows = range(len(arms))
    traces: list[dict[str, Any]] = []
    for row, arm in zip(rows, arms, strict=True):
        role = arm.arm.role
        color = _COLORS.get(role, MUTED)
        traces += [
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded(arm.values),
                "y": [row - 0.14] * len(arm.values),
                "text": [f"seed {seed + 1}" for seed in sorted(arm.scores)],
                "hovertemplate": f"{_label(arm)}, %{{text}}: %{{x:.3f}}<extra></extra>",
                "marker": {
                    "size": 9,
                    "color": color,
                    "symbol": _SYMBOLS.get(role, "circle-open"),
                    "opacity": 0.75,
                    "line": {"width": 1.5, "color": color},
                },
            },
            _mean(arm, row + 0.2, color),
        ]
    low, high = _range(arms)
    return {
        "data": traces,
        "layout": layout(
            text(f"{metric_words(verdict.held_out)}, test split"),
            "",
            xaxis={"range": [low, high]},
            yaxis={
                "title": {"text": ""},
                "tickmode": "array",
                "tickvals": list(rows),
                "ticktext": [_label(arm) for arm in arms],
                "range": [len(arms) - 0.5, -0.5],
                "showgrid": False,
            },
            height=80 + 44 * len(arms),
            showlegend=False,
        ),
    }


def seed_pairs(verdict: SweepVerdict) -> Plot | None:
    """Return a line a seed from the control to each leader, and the mean of them."""
    ordered = sorted(verdict.leaders, key=lambda leader: leader is not verdict.headline)[:MOST_PAIRS]
    control = verdict.control
    lines = [
        (place * _APART, seed, control.scores[seed], leader.scores.scores[seed])
        for place, leader in enumerate(ordered)
        for seed in _paired(control, leader)
    ]
    if not lines:
        return None

    def ahead(line: tuple[float, int, float, float]) -> bool:
        return verdict.sign * (line[3] - line[2]) > 0

    traces = [
        _lines("leader ahead", [line for line in lines if ahead(line)], BETTER, "solid", "circle"),
        _lines(
            "control ahead or equal", [line for line in lines if not ahead(line)], WORSE, "dash", "diamond"
        ),
    ]
    means = [
        (place * _APART, *_means(control, leader))
        for place, leader in enumerate(ordered)
        if _paired(control, leader)
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "mean",
            "x": [x for left, _, _ in means for x in (left, left + 1.0, None)],
            "y": rounded([y for _, first, last in means for y in (first, last, None)]),
            "line": {"color": INK, "width": 4},
            "hovertemplate": "mean %{y:.3f}<extra></extra>",
        }
    )
    places = [place * _APART + side for place in range(len(ordered)) for side in (0.0, 1.0)]
    names = [name for leader in ordered for name in ("control", f"#{leader.scores.arm.trial}")]
    return {
        "data": [trace for trace in traces if trace["x"]],
        "layout": layout(
            "",
            text(f"{metric_words(verdict.held_out)}, test split"),
            xaxis={
                "title": {"text": ""},
                "tickmode": "array",
                "tickvals": places,
                "ticktext": names,
                "range": [-0.35, places[-1] + 0.35],
                "showgrid": False,
            },
            annotations=[
                _tally(place * _APART + 0.5, leader, control, verdict.sign)
                for place, leader in enumerate(ordered)
            ],
            margin={"l": 56, "r": 16, "t": 34, "b": 60},
            height=400,
            showlegend=True,
        ),
    }


def _mean(arm: ArmScores, row: float, color: str) -> dict[str, Any]:
    low, high = arm.summary.interval()
    known = math.isfinite(low) and math.isfinite(high)
    words = f"mean {arm.summary.mean:.3f}" + (f", 95 % interval {low:.3f} to {high:.3f}" if known else "")
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([arm.summary.mean]),
        "y": [row],
        "error_x": {
            "type": "data",
            "array": rounded([high - arm.summary.mean if known else 0.0]),
            "visible": known,
            "color": color,
            "thickness": 2,
            "width": 0,
        },
        "hovertemplate": f"{_label(arm)}, {words}<extra></extra>",
        "marker": {"symbol": "line-ns", "size": 16, "line": {"width": 3.5, "color": color}},
    }


def _lines(
    name: str, lines: Sequence[tuple[float, int, float, float]], color: str, dash: str, symbol: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [x for left, *_ in lines for x in (left, left + 1.0, None)],
        "y": rounded([y for _, _, first, last in lines for y in (first, last, None)]),
        "text": [words for _, seed, _, _ in lines for words in (f"seed {seed + 1}", f"seed {seed + 1}", "")],
        "hovertemplate": "%{text}: %{y:.3f}<extra></extra>",
        "line": {"color": color, "width": 1.6, "dash": dash},
        "marker": {"size": 7, "symbol": symbol},
        "opacity": 0.8,
    }


def _paired(control: ArmScores, leader: LeaderResult) -> list[int]:
    return sorted(control.scores.keys() & leader.scores.scores.keys())


def _means(control: ArmScores, leader: LeaderResult) -> tuple[float, float]:
    seeds = _paired(control, leader)
    each = (
        sum(scores[seed] for seed in seeds) / len(seeds) for scores in (control.scores, leader.scores.scores)
    )
    first, last = each
    return first, last


def _tally(x: float, leader: LeaderResult, control: ArmScores, sign: float) -> dict[str, Any]:
    seeds = _paired(control, leader)
    ahead = sum(sign * (leader.scores.scores[seed] - control.scores[seed]) > 0 for seed in seeds)
    return {
        "x": x,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "text": f"#{leader.scores.arm.trial} ahead<br>in {ahead} of {len(seeds)}",
        "showarrow": False,
        "font": {"size": 11, "color": INK},
    }


def _range(arms: Sequence[ArmScores]) -> tuple[float, float]:
    """Return an axis that holds every dot, and of a wide interval, such as that of two seeds, some."""
    values = [value for arm in arms for value in arm.values]
    room = max(max(values) - min(values), 1e-3)

    def bounded(choose: Callable[[list[float]], float]) -> float:
        ends = [end for arm in arms for end in arm.summary.interval()]
        return min(max(choose([*values, *ends]), min(values) - room / 4), max(values) + room / 4)

    return bounded(min) - 0.05 * room, bounded(max) + 0.05 * room


def _label(arm: ArmScores) -> str:
    return _SHORT[arm.arm.role].format(arm.arm.trial)
