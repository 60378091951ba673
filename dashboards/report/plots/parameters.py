"""Each parameter against the score, coloured by the loss its schedule starts with."""

from __future__ import annotations

from typing import Any

from lossweep.dashboards.families import family_color, short_name
from lossweep.dashboards.report.plots.style import Plot, layout, rounded, text
from lossweep.dashboards.result import metric_words
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.spaces.losses.terms import family


def parameter_values(history: SweepHistory) -> dict[str, dict[str, Any]]:
    """Return, for every parameter that varied: numeric or not, log axis or not, and its (trial, value) pairs.

    The page draws the chosen one; scores, colours and labels it takes from its list of trials.
    """
    found: dict[str, dict[str, Any]] = {}
    trials = [trial for trial in history.trials if trial.score is not None]
    for name in sorted({name for trial in trials for name in trial.parameters}):
        pairs = [(t.number, t.parameters[name]) for t in trials if t.parameters.get(name) is not None]
        values = [value for _, value in pairs]
        if len(set(values)) < 2:
            continue
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        numeric = len(numbers) == len(values)
        found[name] = {
            "trials": [number for number, _ in pairs],
            "values": rounded([float(v) for v in numbers]) if numeric else [text(v) for v in values],
            "log": numeric and min(numbers) > 0 and max(numbers) / min(numbers) > 30,
        }
    return found


def score_by_family(history: SweepHistory, most: int = 14) -> Plot | None:
    """Return the score of every trial by loss family, the best on top, the control's level marked."""
    groups: dict[str, list[TrialHistory]] = {}
    for trial in history.trials:
        if trial.score is not None:
            groups.setdefault(trial.schedule.family, []).append(trial)
    if not groups:
        return None
    sign = 1.0 if history.direction == "maximize" else -1.0
    ordered = sorted(groups.items(), key=lambda item: max(sign * (t.score or 0.0) for t in item[1]))[-most:]
    traces: list[dict[str, Any]] = []
    for _family, trials in ordered:
        kinds = [family(phase.loss) for phase in trials[0].schedule.phases]
        label = text(" → ".join(short_name(k) for i, k in enumerate(kinds) if i == 0 or kinds[i - 1] != k))
        traces.append(
            {
                "type": "box",
                "orientation": "h",
                "name": label,
                "x": rounded([trial.score for trial in trials]),
                "y": [label] * len(trials),
                "customdata": [trial.number for trial in trials],
                "text": [f"#{trial.number} {trial.outcome.value}" for trial in trials],
                "hovertemplate": "%{text}: %{x:.3f}<extra></extra>",
                "boxpoints": "all",
                "jitter": 0.4,
                "pointpos": 0,
                "marker": {"size": 5, "opacity": 0.7, "color": family_color(kinds[0])},
                "line": {"width": 1, "color": family_color(kinds[0])},
                "fillcolor": "rgba(0,0,0,0)",
            }
        )
    control = history.control()
    shapes = []
    if control is not None and control.score is not None:
        line = {"color": "#b3261e", "width": 1.5, "dash": "dash"}
        shapes = [
            {
                "type": "line",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "x0": control.score,
                "x1": control.score,
                "line": line,
            }
        ]
    return {
        "data": traces,
        "layout": layout(
            text(metric_words(history.metric)),
            "",
            yaxis={"title": {"text": ""}, "type": "category"},
            height=90 + 34 * len(ordered),
            shapes=shapes,
            showlegend=False,
        ),
    }
