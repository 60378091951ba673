"""The best score so far, over trials and over GPU-seconds, against the control's level."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from lossweep.dashboards.report.plots.cost import seconds_words
from lossweep.dashboards.report.plots.style import (
    ACCENT,
    CONTROL,
    OUTCOME_COLORS,
    Plot,
    button_row,
    layout,
    rounded,
    shortened,
    text,
)
from lossweep.dashboards.result import metric_words
from lossweep.search.study.history import SweepHistory, TrialHistory


def best_so_far(history: SweepHistory) -> Plot | None:
    """Return the plot; a button switches the axis between trials and GPU-seconds."""
    scored = [trial for trial in history.trials if trial.score is not None and trial.feasible]
    if not scored:
        return None
    better = max if history.direction == "maximize" else min
    # A trial that was stopped early has a score, too, but it can't win: only completed ones move the line.
    scores = [trial.score or 0.0 for trial in scored]
    completed = [trial.outcome.value == "completed" for trial in scored]
    worst = float("-inf") if history.direction == "maximize" else float("inf")
    running = accumulate((s if c else worst for s, c in zip(scores, completed, strict=True)), better)
    best = [value if abs(value) != float("inf") else None for value in running]
    spent_by_number = dict(
        zip(
            (trial.number for trial in history.trials),
            accumulate(trial.gpu_seconds for trial in history.trials),
            strict=True,
        )
    )
    cost = seconds_words(history)
    axes = {
        "trial": [float(trial.number) for trial in scored],
        cost: [spent_by_number[trial.number] for trial in scored],
    }
    traces: list[dict[str, Any]] = []
    for axis, xs in axes.items():
        visible = axis == "trial"
        for name, wanted in (("control", True), ("proposal", False)):
            chosen = [i for i, trial in enumerate(scored) if (trial.control is not None) is wanted]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "visible": visible,
                    "x": rounded([xs[i] for i in chosen]),
                    "y": rounded([scores[i] for i in chosen]),
                    "customdata": [scored[i].number for i in chosen],
                    "text": [_label(scored[i]) for i in chosen],
                    "hovertemplate": "%{text}<br>%{y:.3f}<extra></extra>",
                    "marker": {
                        "size": 9 if wanted else 6,
                        "symbol": "x-thin" if wanted else "circle",
                        "color": CONTROL if wanted else [OUTCOME_COLORS[scored[i].outcome] for i in chosen],
                        "line": {"width": 2 if wanted else 0, "color": CONTROL},
                        "opacity": 0.75,
                    },
                }
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best completed so far",
                "visible": visible,
                "x": rounded(list(xs)),
                "y": rounded(best),
                "line": {"color": ACCENT, "width": 2.5, "shape": "hv"},
                "hovertemplate": "best so far %{y:.3f}<extra></extra>",
            }
        )
    control = history.control()
    shapes, notes = [], []
    if control is not None and control.score is not None:
        line = {"color": CONTROL, "width": 1.5, "dash": "dash"}
        shapes = [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": control.score,
                "y1": control.score,
                "line": line,
            }
        ]
        notes = [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": control.score,
                "yanchor": "bottom",
                "text": f"control #{control.number}",
                "showarrow": False,
                "font": {"color": CONTROL, "size": 11},
            }
        ]
    buttons = [
        {
            "label": f"over {axis}s" if axis == "trial" else f"over {axis}",
            "method": "update",
            "args": [
                {"visible": [axis == "trial"] * 3 + [axis != "trial"] * 3},
                {"xaxis.title.text": axis},
            ],
        }
        for axis in axes
    ]
    return {
        "data": traces,
        "layout": layout(
            "trial",
            text(metric_words(history.metric)),
            shapes=shapes,
            annotations=notes,
            updatemenus=[button_row(buttons)],
            margin={"l": 56, "r": 16, "t": 44, "b": 48},
        ),
    }


def _label(trial: TrialHistory) -> str:
    return f"<b>#{trial.number}</b> {trial.outcome.value}<br>{text(shortened(str(trial.schedule)))}"
