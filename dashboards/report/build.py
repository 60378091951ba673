"""The report: one self-contained HTML page that says which schedule wins, by how much, and what it did.

Works offline: as a file, as an artifact in MLflow's sandboxed frame and served. Everything a user named is
escaped by the templates, or lies in JSON that can't end its script element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossweep.dashboards.families import family_color
from lossweep.dashboards.report.overlays import OverlayTile
from lossweep.dashboards.report.plots.catalog import PLOTS, VERDICT_PLOTS
from lossweep.dashboards.report.plots.importance import importances
from lossweep.dashboards.report.plots.parameters import parameter_values
from lossweep.dashboards.report.plots.style import rounded, shortened, text
from lossweep.dashboards.report.plots.timeline import timeline
from lossweep.dashboards.report.rendering import embedded, plotly, render, resource
from lossweep.dashboards.report.sections.cells import control_line
from lossweep.dashboards.report.sections.gallery import Gallery, gallery
from lossweep.dashboards.report.sections.headline import Headline, contender_words, headline
from lossweep.dashboards.report.sections.importance import Importance, importance
from lossweep.dashboards.report.sections.leaderboard import (
    Leaderboard,
    TrialOption,
    confirmation_options,
    extension_options,
    leaderboard,
    trial_options,
)
from lossweep.dashboards.report.sections.provenance import Provenance, provenance
from lossweep.dashboards.report.sections.stops import Stops, stops
from lossweep.dashboards.report.sections.verdict import Verdict, verdict_section
from lossweep.dashboards.result import SweepResult, metric_words, sweep_result
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.spaces.losses.terms import family


@dataclass(frozen=True, slots=True)
class ReportPage:
    """All that the page shows.

    Attributes:
        name: of the sweep.
        headline: how it stands.
        trials: to choose from.
        leaderboard: ranked.
        stops: what was stopped.
        gallery: overlays of contender and control.
        export: the winner's schedule file; None without a winner.
        provenance: data and settings.
        data: what the page's script draws: plots, and each trial's timeline.
        importance: what matters, losses or rates.
        confirming: trials of the confirmation to choose from.
        extending: trials with more epochs than the budget to choose from.
        verdict: what a confirmation has found; None before one.
    """

    name: str
    headline: Headline
    trials: tuple[TrialOption, ...]
    leaderboard: Leaderboard
    stops: Stops
    gallery: Gallery
    export: str | None
    provenance: Provenance
    data: Mapping[str, Any]
    importance: Importance
    confirming: tuple[TrialOption, ...] = ()
    extending: tuple[TrialOption, ...] = ()
    verdict: Verdict | None = None

    def to_html(self) -> str:
        """Return the page."""
        return render(
            "report.html",
            page=self,
            style=resource("report.css"),
            script=resource("report.js"),
            plotly=plotly(),
            data=embedded(self.data),
        )


def build_report(
    history: SweepHistory,
    overlays: Sequence[OverlayTile] | None = None,
    *,
    export: str | None = None,
) -> str:
    """Build the page from the study alone; also in mid-sweep, and with no trial at all.

    Args:
        history: the sweep as it stands.
        overlays: from `dashboards.report.overlays.tile`: validation images as `SweepHistory.contender` and
            the control see them.
        export: the winner's schedule file as `lossweep export` writes it; by default its plain YAML.
    """
    return report_page(history, overlays, export=export).to_html()


def report_page(
    history: SweepHistory,
    overlays: Sequence[OverlayTile] | None = None,
    *,
    export: str | None = None,
) -> ReportPage:
    """Return what the page shows, as values; the arguments are those of `build_report`."""
    result = sweep_result(history)
    shown = result.winner or next(iter(history.ranked()), None) or next(iter(history.trials), None)
    if export is None and result.winner is not None:
        export = result.winner.schedule.to_yaml()
    return ReportPage(
        name=history.name,
        headline=headline(history, result),
        trials=trial_options(history, shown),
        leaderboard=leaderboard(history, result),
        stops=stops(history),
        gallery=gallery(overlays or (), contender_words(history).lower(), control_line(history)),
        export=export,
        provenance=provenance(history),
        data=_data(history, result, shown),
        importance=importance(importances(history), result.verdict),
        confirming=confirmation_options(history),
        extending=extension_options(history),
        verdict=verdict_section(history, result),
    )


def _data(history: SweepHistory, result: SweepResult, shown: TrialHistory | None) -> dict[str, Any]:
    plots = {name: plot(history) for name, plot in PLOTS.items()}
    if result.verdict is not None:
        plots |= {name: plot(result.verdict) for name, plot in VERDICT_PLOTS.items()}
    return {
        "metric": text(metric_words(history.metric)),
        "control": result.control.score if result.control else None,
        "shown": shown.number if shown else None,
        "trials": [_trial(trial) for trial in history.recorded],
        "parameters": parameter_values(history),
        "plots": plots,
    }


def _trial(trial: TrialHistory) -> dict[str, Any]:
    return {
        "number": trial.number,
        "label": text(shortened(str(trial.schedule), 120)),
        "schedule": str(trial.schedule),
        "outcome": trial.outcome.value,
        "reason": trial.reason,
        "control": trial.control,
        "confirms": trial.confirms,
        "score": rounded([trial.score])[0],
        "family": text(trial.schedule.family),
        "color": family_color(family(trial.schedule.phases[0].loss)),
        **timeline(trial),
    }
