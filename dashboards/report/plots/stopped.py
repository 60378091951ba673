"""Trials that were stopped: the curve of each up to where it ended, by what ended it."""

from __future__ import annotations

from typing import Any

from lossweep.dashboards.report.plots.style import (
    MUTED,
    OUTCOME_COLORS,
    Plot,
    layout,
    rounded,
    shortened,
    text,
)
from lossweep.dashboards.result import stopped
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind


def stop_rule(trial: TrialHistory) -> str:
    """Return what ended a trial: the guard's name, ``pruner`` or ``error``."""
    if trial.outcome is OutcomeKind.FAILED:
        return "error"
    for evaluation in reversed(trial.evaluations):
        if evaluation.verdict is not None:
            return evaluation.verdict.rule
    return "pruner" if trial.outcome is OutcomeKind.PRUNED else "guard"


def stop_step(trial: TrialHistory) -> int | None:
    """Return the optimizer step a trial was stopped at."""
    for evaluation in reversed(trial.evaluations):
        if evaluation.verdict is not None:
            return evaluation.verdict.step
    return trial.evaluations[-1].step if trial.evaluations else None


def stopped_curves(history: SweepHistory, metric: str = "ap", most: int = 80) -> Plot | None:
    """Return the running best of a threshold-free metric of the stopped trials, over the winner's in grey.

    With many, the last ``most`` are drawn; the table beside the plot lists all.
    """
    trials = [trial for trial in stopped(history) if _curve(trial, metric)[1]][-most:]
    if not trials:
        return None
    traces: list[dict[str, Any]] = []
    winner = history.winner()
    if winner is not None and _curve(winner, metric)[1]:
        x, y = _curve(winner, metric)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"winner (#{winner.number})",
                "x": x,
                "y": y,
                "line": {"color": MUTED, "width": 3},
                "opacity": 0.5,
                "hoverinfo": "skip",
            }
        )
    named: set[OutcomeKind] = set()
    for trial in trials:
        x, y = _curve(trial, metric)
        color = OUTCOME_COLORS[trial.outcome]
        label = f"<b>#{trial.number}</b> {trial.outcome.value}: {text(stop_rule(trial))}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": trial.outcome.value,
                "legendgroup": trial.outcome.value,
                "showlegend": trial.outcome not in named,
                "x": x,
                "y": y,
                "customdata": [trial.number] * len(x),
                "hovertemplate": f"{label}<br>{text(shortened(trial.reason, 100))}"
                "<br>epoch %{x}: %{y:.3f}<extra></extra>",
                "line": {"color": color, "width": 1.2},
                "marker": {
                    "color": color,
                    "size": [0] * (len(x) - 1) + [8],
                    "symbol": "x" if trial.outcome is not OutcomeKind.PRUNED else "circle",
                },
                "opacity": 0.75,
            }
        )
        named.add(trial.outcome)
    return {
        "data": traces,
        "layout": layout("epoch", f"best {metric.upper()} so far", yaxis={"rangemode": "tozero"}, height=360),
    }


def _curve(trial: TrialHistory, metric: str) -> tuple[list[float | None], list[float | None]]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    best = float("-inf")
    for evaluation in trial.evaluations:
        if metric in evaluation.metrics:
            best = max(best, evaluation.metrics[metric])
            xs.append(evaluation.epoch)
            ys.append(best)
    return xs, rounded(ys)
