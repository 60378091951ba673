"""All trials in the precision-recall plane, with iso-F1 lines and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossweep.dashboards.families import family_color, short_name
from lossweep.dashboards.report.plots.style import (
    CONTROL,
    INK,
    Plot,
    button_row,
    iso_f1_lines,
    layout,
    rounded,
    shortened,
    text,
)
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.losses.terms import family
from lossweep.spaces.metric_names import PARAMETRIC


def operating_points(metric: str) -> dict[str, tuple[str | float, str | float]]:
    """Return the operating points to choose from: what stands on the recall axis and on the precision axis.

    A sweep for a floor metric operates at that floor, which is shown first: its value on one axis, and on the
    other the floor itself, the least that the trial has there.

    Args:
        metric: what the sweep is scored by.
    """
    points: dict[str, tuple[str | float, str | float]] = {
        "at the tuned threshold": ("tuned_recall", "tuned_precision"),
        "at 0.5": ("recall", "precision"),
    }
    floor = PARAMETRIC.fullmatch(metric)
    if floor and floor["name"] == "recall_at_precision":
        return {f"at precision {floor['value']}": (metric, float(floor["value"])), **points}
    if floor and floor["name"] == "precision_at_recall":
        return {f"at recall {floor['value']}": (float(floor["value"]), metric), **points}
    return points


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other equals or beats in both coordinates, by rising first coordinate."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


def precision_recall_plane(history: SweepHistory) -> Plot | None:
    """Return the plot; all operating points are drawn, one is shown at a time."""
    trials = [
        (trial, evaluation.metrics) for trial in history.trials if (evaluation := trial.shown) is not None
    ]
    traces: list[dict[str, Any]] = iso_f1_lines()
    fixed_part = len(traces)
    points = operating_points(history.metric)
    first = next(iter(points))
    masks = {label: [True] * fixed_part for label in points}
    for label, axes in points.items():
        placed = [(trial, *spot) for trial, metrics in trials if (spot := _spot(metrics, *axes)) is not None]
        if not placed:
            continue
        new = [*_by_loss(history, placed), _front(placed), *_controls(history, placed)]
        traces += [{**trace, "visible": label == first} for trace in new]
        for other, mask in masks.items():
            mask += [other == label] * len(new)
    if len(traces) == fixed_part:
        return None
    square = {"range": [-0.02, 1.02], "constrain": "domain", "dtick": 0.2}
    buttons = [
        {"label": label, "method": "restyle", "args": [{"visible": mask}]} for label, mask in masks.items()
    ]
    return {
        "data": traces,
        "layout": layout(
            "recall",
            "precision",
            xaxis=square,
            yaxis=square,
            height=520,
            updatemenus=[button_row(buttons, pad={"t": 0, "b": 4})],
            margin={"l": 56, "r": 16, "t": 44, "b": 48},
        ),
    }


def _spot(
    metrics: Mapping[str, float], recall: str | float, precision: str | float
) -> tuple[float, float] | None:
    """Where a trial stands, or None when one of the two was not measured."""
    spot = [metrics.get(axis) if isinstance(axis, str) else axis for axis in (recall, precision)]
    return None if spot[0] is None or spot[1] is None else (spot[0], spot[1])


def _by_loss(history: SweepHistory, placed: list[tuple[TrialHistory, float, float]]) -> list[dict[str, Any]]:
    groups: dict[str, list[tuple[TrialHistory, float, float]]] = {}
    for trial, recall, precision in placed:
        groups.setdefault(family(trial.schedule.phases[0].loss), []).append((trial, recall, precision))
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"starts with {text(short_name(kind))}",
            "x": rounded([recall for _, recall, _ in group]),
            "y": rounded([precision for _, _, precision in group]),
            "customdata": [trial.number for trial, _, _ in group],
            "text": [_label(trial) for trial, _, _ in group],
            "hovertemplate": "%{text}<br>recall %{x:.3f}, precision %{y:.3f}<extra></extra>",
            "marker": {
                "color": family_color(kind),
                "size": [9 if trial.outcome is OutcomeKind.COMPLETED else 6 for trial, _, _ in group],
                "opacity": [0.9 if trial.outcome is OutcomeKind.COMPLETED else 0.35 for trial, _, _ in group],
                "symbol": [
                    "circle" if len(trial.schedule.phases) == 1 else "diamond" for trial, _, _ in group
                ],
                "line": {"width": 0.5, "color": "#ffffff"},
            },
        }
        for kind, group in sorted(groups.items())
    ]


def _front(placed: list[tuple[TrialHistory, float, float]]) -> dict[str, Any]:
    front = pareto_front([(recall, precision) for _, recall, precision in placed])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": rounded([recall for recall, _ in front]),
        "y": rounded([precision for _, precision in front]),
        "line": {"color": INK, "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _controls(history: SweepHistory, placed: list[tuple[TrialHistory, float, float]]) -> list[dict[str, Any]]:
    winner, control = history.winner(), history.control()
    marks = []
    wins = control is not None and control is winner
    for trial, name, color, symbol, side in (
        (control, "control, and leader" if wins else "control", CONTROL, "x-thin", "bottom center"),
        (None if wins else winner, "winner", INK, "star-open", "top center"),
    ):
        spot = next(((r, p) for t, r, p in placed if trial is not None and t.number == trial.number), None)
        if spot is None or trial is None:
            continue
        marks.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": name,
                "x": rounded([spot[0]]),
                "y": rounded([spot[1]]),
                "text": [name],
                "textposition": side,
                "textfont": {"size": 12, "color": color},
                "marker": {
                    "symbol": symbol,
                    "size": 17,
                    "color": color,
                    "line": {"width": 2.5, "color": color},
                },
                "hoverinfo": "skip",
            }
        )
    return marks


def _label(trial: TrialHistory) -> str:
    mark = f" (control {trial.control})" if trial.control else ""
    return (
        f"<b>#{trial.number}</b>{text(mark)} {trial.outcome.value}<br>{text(shortened(str(trial.schedule)))}"
    )
