"""Headline, leaderboard, MLflow, report and export say the same of winner, control and verdict."""

from __future__ import annotations

import re
from collections.abc import Callable

import histories
import pytest
from rich.console import Console

from lossweep.dashboards.mlflow.sweep_content import description
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.result import sweep_result
from lossweep.dashboards.terminal import tables
from lossweep.dashboards.terminal.confirmation import confirmation_table
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.export import export_best
from lossweep.search.verdicts.result import SweepVerdict, verdict_of
from lossweep.search.verdicts.sentence import control_words


@pytest.fixture(scope="module")
def sweep() -> SweepHistory:
    return histories.confirmed()


@pytest.fixture(scope="module")
def verdict(sweep: SweepHistory) -> SweepVerdict:
    found = verdict_of(sweep)
    assert found is not None
    return found


def printed(*renderables: object) -> str:
    console = Console(width=4000, color_system=None)
    with console.capture() as capture:
        for one in renderables:
            console.print(one)
    return capture.get()


def words_of(page: str) -> str:
    """A page's text, as a person reads it."""
    text = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    for entity, sign in (("&#39;", "'"), ("&gt;", ">"), ("&lt;", "<"), ("&amp;", "&"), ("&#34;", '"')):
        text = text.replace(entity, sign)
    return " ".join(text.split())


VIEWS: dict[str, Callable[[SweepHistory], str]] = {
    "headline": lambda sweep: sweep_result(sweep).sentence(),
    "leaderboard": lambda sweep: printed(tables.leaderboard(sweep), *confirmation_table(sweep)),
    "mlflow": description,
    "report": lambda sweep: words_of(build_report(sweep)),
    "export": lambda sweep: " ".join(export_best(sweep).to_yaml().split()),
}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_says_the_same_verdict(sweep: SweepHistory, verdict: SweepVerdict, view: str) -> None:
    shown = " ".join(VIEWS[view](sweep).split())
    leader, tried = verdict.headline, sweep.tried()
    beats = f"Trial {leader.scores.arm.trial} beats the control"
    assert beats in shown
    assert control_words(verdict.control.arm.schedule) in shown
    sides = f"best of {tried.schedules} loss schedules was held against the best of {tried.plain} plain"
    assert sides in shown
    assert f"{leader.scores.summary.mean:.3f} against {verdict.control.summary.mean:.3f}" in shown
    assert f"{leader.judged.difference.mean:+.3f}" in shown
    low, high = leader.judged.interval
    assert f"{low:+.3f} to {high:+.3f}" in shown
    assert "5 fresh seeds" in shown


@pytest.mark.parametrize("view", ["headline", "leaderboard", "mlflow", "report"])
def test_before_any_confirmation_they_name_the_control_and_how_many_were_tried(view: str) -> None:
    sweep = histories.sweep()
    control, winner = sweep.control(), sweep.winner()
    assert control is not None
    assert winner is not None
    shown = " ".join(VIEWS[view](sweep).split())
    assert control_words(control.schedule) in shown
    assert f"{winner.score:.3f}" in shown
    assert f"{control.score:.3f}" in shown
    assert f"lossweep confirm {sweep.name}" in shown
    assert re.search(r"the only one tried|the best of \d+ (plain cross-entropies )?tried", shown)
