"""Every plot that is drawn from the history alone, by the id of its place in the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lossweep.dashboards.report.plots.best_so_far import best_so_far
from lossweep.dashboards.report.plots.confirmation import confirmed_arms, seed_pairs
from lossweep.dashboards.report.plots.cost import epoch_seconds, score_against_cost
from lossweep.dashboards.report.plots.importance import parameter_importance
from lossweep.dashboards.report.plots.parameters import score_by_family
from lossweep.dashboards.report.plots.plane import precision_recall_plane
from lossweep.dashboards.report.plots.stopped import stopped_curves
from lossweep.dashboards.report.plots.style import Plot
from lossweep.search.study.history import SweepHistory
from lossweep.search.verdicts.result import SweepVerdict

PLOTS: Final[Mapping[str, Callable[[SweepHistory], Plot | None]]] = {
    "plane": precision_recall_plane,
    "best_so_far": best_so_far,
    "importance": parameter_importance,
    "families": score_by_family,
    "stopped": stopped_curves,
    "epoch_seconds": epoch_seconds,
    "cost": score_against_cost,
}

VERDICT_PLOTS: Final[Mapping[str, Callable[[SweepVerdict], Plot | None]]] = {
    "confirmed": confirmed_arms,
    "pairs": seed_pairs,
}
"""What is drawn of a confirmation, once there is a verdict."""
