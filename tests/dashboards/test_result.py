"""Every view tells the figures of the evaluation that a trial was scored at, the one that is exported."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import histories
import pytest
from rich.console import Console

from lossweep.dashboards.comparison.two_sweeps import build_comparison
from lossweep.dashboards.mlflow.content import best_points
from lossweep.dashboards.mlflow.sweep_content import description
from lossweep.dashboards.report.plots.plane import precision_recall_plane
from lossweep.dashboards.report.sections.headline import headline
from lossweep.dashboards.report.sections.leaderboard import leaderboard
from lossweep.dashboards.result import sweep_result
from lossweep.dashboards.terminal import tables
from lossweep.dashboards.terminal.compare import ComparisonTable
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.upkeep.export import export_best
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score

MID_CYCLE, AT_END = 0.123, 0.876
"""The precision of two evaluations with one and the same score."""


@pytest.fixture(scope="module")
def sweep() -> SweepHistory:
    """A sweep whose winner had its score in mid-cycle already, at another point of the plane."""
    plain = histories.trial(0, histories.cycling(), 0.7, OutcomeKind.COMPLETED, epochs=12)
    first, second, third = plain.evaluations[:3]
    evaluations = (
        replace(first, metrics={**first.metrics, "tuned_f1": 0.5, "ap": 0.99}),
        replace(second, metrics={**second.metrics, "tuned_f1": 0.7, "precision": MID_CYCLE}),
        replace(third, metrics={**third.metrics, "tuned_f1": 0.7, "precision": AT_END}, cycle_ended=True),
    )
    taken = score(ObjectiveSpec(use_case="balanced"), evaluations)
    assert taken is not None
    winner = replace(
        plain,
        evaluations=evaluations,
        score=taken.values[0],
        scored_step=taken.evaluation.step,
        values=taken.values,
    )
    spec = histories.sweep().spec_yaml.replace("counting", "balanced")
    return replace(histories.sweep(), spec_yaml=spec, trials=(winner,))


def printed(renderable: object) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


VIEWS: dict[str, Callable[[SweepHistory], str]] = {
    "leaderboard": lambda sweep: printed(tables.leaderboard(sweep)),
    "comparison": lambda sweep: printed(ComparisonTable(build_comparison(sweep, sweep))),
    "mlflow": lambda sweep: "\n".join(f"{p.key} {p.value:.3f}" for p in best_points(sweep.trials[0], sweep)),
    "description": description,
    "headline": lambda sweep: str(headline(sweep, sweep_result(sweep))),
    "report": lambda sweep: str(leaderboard(sweep, sweep_result(sweep))),
    "plane": lambda sweep: re.sub(r"\[(0\.\d+)\]", r" \1 ", str(precision_recall_plane(sweep))),
    "export": lambda sweep: export_best(sweep).to_yaml(),
}


@pytest.mark.parametrize("view", VIEWS)
def test_an_equal_score_in_mid_cycle_is_not_the_scored_one(sweep: SweepHistory, view: str) -> None:
    shown = VIEWS[view](sweep)
    assert f"{AT_END}" in shown
    assert f"{MID_CYCLE}" not in shown


def test_a_trial_without_a_score_shows_its_best_ranking(sweep: SweepHistory) -> None:
    (winner,) = sweep.trials
    assert winner.shown is winner.scored is winner.evaluations[2]
    unscored = replace(winner, score=None, scored_step=None)
    assert unscored.shown is unscored.best is winner.evaluations[0]
    assert replace(unscored, evaluations=()).shown is None
