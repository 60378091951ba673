"""The report: one self-contained HTML page that says which schedule wins, by how much, and what it did.

Works offline: as a file, as an artifact in MLflow's sandboxed frame and served. Everything a user named goes
through `html.escape`, or into JSON whose ``<``, ``>`` and ``&`` are escaped so that no text can end its
script element.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from lossweep.dashboards.families import family_color
from lossweep.dashboards.report.overlays import OverlayTile
from lossweep.dashboards.report.parts import (
    contender_words,
    headline,
    leaderboard,
    overlay_gallery,
    pareto_front,
    provenance,
    pruner_audit,
    schedule_file,
    stopped_table,
    trial_choice,
)
from lossweep.dashboards.report.plots.best_so_far import best_so_far
from lossweep.dashboards.report.plots.cost import epoch_seconds, score_against_cost
from lossweep.dashboards.report.plots.importance import parameter_importance
from lossweep.dashboards.report.plots.parameters import parameter_values, score_by_family
from lossweep.dashboards.report.plots.plane import precision_recall_plane
from lossweep.dashboards.report.plots.stopped import stopped_curves
from lossweep.dashboards.report.plots.style import rounded, shortened, text
from lossweep.dashboards.report.plots.timeline import timeline
from lossweep.dashboards.result import Confirmed, metric_words, sweep_result
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.spaces.losses.terms import family

FIGURES = {
    "plane": precision_recall_plane,
    "best_so_far": best_so_far,
    "importance": parameter_importance,
    "families": score_by_family,
    "stopped": stopped_curves,
    "epoch_seconds": epoch_seconds,
    "cost": score_against_cost,
}
"""Every figure that is drawn from the history alone, by the id of its place in the page."""


def build_report(
    history: SweepHistory,
    overlays: Sequence[OverlayTile] | None = None,
    *,
    confirmed: Confirmed | None = None,
    export: str | None = None,
) -> str:
    """Build the page from the study alone; also in mid-sweep, and with no trial at all.

    Args:
        history: the sweep as it stands.
        overlays: from `dashboards.report.overlays.tile`: validation images as `SweepHistory.contender` and
            the control see them.
        confirmed: scores of winner and control over fresh seeds on the test split.
        export: the winner's schedule file as `lossweep export` writes it; by default its plain YAML.
    """
    result = sweep_result(history, confirmed)
    shown = result.winner or next(iter(history.ranked()), None) or next(iter(history.trials), None)
    if export is None and result.winner is not None:
        export = result.winner.schedule.to_yaml()
    data = {
        "metric": text(metric_words(history.metric)),
        "control": result.control.score if result.control else None,
        "shown": shown.number if shown else None,
        "trials": [_trial(trial) for trial in history.trials],
        "parameters": parameter_values(history),
        "figures": {name: figure(history) for name, figure in FIGURES.items()},
    }
    return Template(_resource("report.html")).substitute(
        title=html.escape(f"{history.name}: lossweep report"),
        name=html.escape(history.name),
        headline=headline(history, result),
        choice=trial_choice(history, shown),
        leaderboard=leaderboard(history, result) + pareto_front(history),
        stopped=stopped_table(history),
        audit=pruner_audit(history),
        overlays=overlay_gallery(overlays or (), contender_words(history).lower()),
        schedule=schedule_file(export, history),
        provenance=provenance(history),
        style=_resource("report.css"),
        plotly=_plotly(),
        script=_resource("report.js"),
        data=embedded(data),
    )


def embedded(data: object) -> str:
    """Return JSON that is safe inside a script element."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for found, written in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        plain = plain.replace(found, written)
    return plain.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _trial(trial: TrialHistory) -> dict[str, Any]:
    return {
        "number": trial.number,
        "label": text(shortened(str(trial.schedule), 120)),
        "schedule": str(trial.schedule),
        "outcome": trial.outcome.value,
        "reason": trial.reason,
        "control": trial.control,
        "score": rounded([trial.score])[0],
        "family": text(trial.schedule.family),
        "color": family_color(family(trial.schedule.phases[0].loss)),
        **timeline(trial),
    }


@cache
def _resource(name: str) -> str:
    return files("lossweep.dashboards.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")
