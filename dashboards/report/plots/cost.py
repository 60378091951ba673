"""What trials cost: seconds an epoch by loss, and the score bought by GPU-seconds."""

from __future__ import annotations

from typing import Any

import yaml

from lossweep.dashboards.families import family_color, kind_at, short_name
from lossweep.dashboards.report.plots.style import CONTROL, Plot, layout, rounded, shortened, text
from lossweep.dashboards.result import metric_words
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.losses.terms import family


def seconds_words(history: SweepHistory) -> str:
    """Return what a trial's cost is counted in: GPU-seconds, or seconds of a worker that held none."""
    try:
        spec = yaml.safe_load(history.spec_yaml)
        shares = spec["resources"]["gpus_per_trial"]
    except (yaml.YAMLError, KeyError, TypeError):
        return "GPU-seconds"
    if shares is None:
        return "worker-seconds (GPU-seconds, where there is one)"
    return "GPU-seconds" if shares else "worker-seconds (no GPU)"


def epoch_seconds(history: SweepHistory) -> Plot | None:
    """Return the spread of seconds an epoch (evaluation included) by the loss trained in it."""
    groups: dict[str, list[float]] = {}
    for trial in history.trials:
        before = 0
        for evaluation in trial.evaluations:
            epochs = max(1, evaluation.epoch - before)
            groups.setdefault(kind_at(trial.schedule, evaluation), []).append(evaluation.seconds / epochs)
            before = evaluation.epoch
    if not groups:
        return None
    traces = [
        {
            "type": "box",
            "name": text(short_name(kind)),
            "x": [text(short_name(kind))],
            # Quartiles rather than every point: thousands of epochs would weigh megabytes.
            **_quartiles(values),
            "marker": {"color": family_color(kind)},
            "hoverinfo": "y",
        }
        for kind, values in sorted(groups.items())
    ]
    return {
        "data": traces,
        "layout": layout("", "seconds an epoch", yaxis={"rangemode": "tozero"}, showlegend=False, height=320),
    }


def score_against_cost(history: SweepHistory) -> Plot | None:
    """Return each trial's score over the GPU-seconds it took."""
    trials = [trial for trial in history.trials if trial.score is not None and trial.gpu_seconds > 0]
    if not trials:
        return None
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([trial.gpu_seconds for trial in trials]),
        "y": rounded([trial.score for trial in trials]),
        "customdata": [trial.number for trial in trials],
        "text": [
            f"<b>#{t.number}</b> {t.outcome.value}<br>{text(shortened(str(t.schedule)))}" for t in trials
        ],
        "hovertemplate": "%{text}<br>%{y:.3f} for %{x:.0f} s<extra></extra>",
        "marker": {
            "color": [family_color(family(t.schedule.phases[0].loss)) for t in trials],
            "symbol": ["x" if trial.control else "circle" for trial in trials],
            "line": {"width": [1 if trial.control else 0 for trial in trials], "color": CONTROL},
            "size": 7,
            "opacity": 0.75,
        },
    }
    return {
        "data": [trace],
        "layout": layout(
            f"{seconds_words(history)} of the trial",
            text(metric_words(history.metric)),
            showlegend=False,
            height=320,
        ),
    }


def _quartiles(values: list[float]) -> dict[str, list[float | None]]:
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[round(share * (len(ordered) - 1))]

    return {
        "q1": rounded([at(0.25)]),
        "median": rounded([at(0.5)]),
        "q3": rounded([at(0.75)]),
        "lowerfence": rounded([at(0.05)]),
        "upperfence": rounded([at(0.95)]),
    }
