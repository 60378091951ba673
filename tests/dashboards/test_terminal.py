"""What the terminal shows: tables, the progress display, comparisons."""

from __future__ import annotations

import io
from dataclasses import replace

import histories
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from dashboards import tables
from dashboards.compare import build_comparison
from dashboards.progress import ProgressDisplay
from dashboards.sparkline import BARS, sparkline
from search.events import SweepEnded, SweepStarted, TrialEnded, TrialEvaluated, TrialStarted
from search.history import DecisionRecord
from search.outcomes import OutcomeKind


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=220)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return] # a StringIO


def test_the_leaderboard_puts_the_control_beside_the_best_even_from_beyond_the_cut() -> None:
    sweep = histories.sweep()
    lines = shown(tables.leaderboard(sweep, most=1)).splitlines()
    rows = [line for line in lines if "#" in line]
    assert "#2" in rows[0]
    assert "#0" in rows[1]
    assert "control cross_entropy" in rows[1]
    assert "unconfirmed" in " ".join(lines[:2])


def test_markup_in_user_text_is_text() -> None:
    sweep = histories.sweep()
    reason = "[red]not markup[/red] [/oops]"
    sweep = replace(sweep, name="a[b]c", trials=(replace(sweep.trials[3], reason=reason),))
    assert reason in shown(tables.why(sweep, 3))
    assert "a[b]c" in shown(tables.sweeps([sweep]))
    assert "a[b]c" in shown(tables.status(sweep))


def test_why_tells_the_whole_story() -> None:
    page = shown(tables.why(histories.sweep(), 4))
    for words in ("diverged", "all_foreground", "focal", "first rung", "ap=0.1", "phase0.loss"):
        assert words in page
    assert "Traceback" in shown(tables.why(histories.sweep(), 5))
    with pytest.raises(KeyError):
        tables.why(histories.sweep(), 999)


def test_status_shows_running_trials_with_their_curves() -> None:
    page = shown(tables.status(histories.sweep("running")))
    assert "5/12" in page
    assert any(bar in page for bar in BARS)


def test_an_empty_project_says_so() -> None:
    assert "No sweeps" in shown(tables.sweeps([]))


@given(st.lists(st.floats(allow_nan=True), max_size=40))
def test_sparklines_take_any_number(values: list[float]) -> None:
    assert len(sparkline(values, width=16)) == min(16, len(values))


def test_a_sparkline_by_hand() -> None:
    assert sparkline([0.0, 0.5, 1.0, float("nan")]) == "▁▅█·"


def play(display: ProgressDisplay) -> None:
    sweep = histories.sweep(proposals=0)
    display.handle(SweepStarted(replace(sweep, trials=(), state="running")))
    for trial in sweep.trials:
        display.handle(TrialStarted(replace(trial, evaluations=(), outcome=OutcomeKind.RUNNING, score=None)))
        for evaluation in trial.evaluations:
            last = evaluation is trial.evaluations[-1]
            action = "prune" if last and trial.outcome is OutcomeKind.PRUNED else "continue"
            display.handle(
                TrialEvaluated(
                    trial.number, evaluation, DecisionRecord(evaluation.step, action, trial.reason)
                )
            )
        display.handle(TrialEnded(trial))
    display.handle(SweepEnded(sweep))
    display.close()


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    clock = iter(range(10_000))
    play(ProgressDisplay(Console(file=out, width=80), clock=lambda: float(next(clock))))
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert lines[0].startswith("sweep vehicles: 0 of 16 trials done")
    assert any(line.startswith("trial 2 epoch 12/12 jaccard: R 0.") for line in lines)
    assert any("; prune: AP 0.31 under" in line for line in lines)
    assert any(line.startswith("Trial 4 diverged (all_foreground") and "left" in line for line in lines)
    assert lines[-1].startswith("sweep vehicles finished. Trial 2 leads")


def test_the_live_display_ends_with_the_standing_result() -> None:
    out = io.StringIO()
    play(ProgressDisplay(Console(file=out, width=160, force_terminal=True)))
    assert "Trial 2 leads" in out.getvalue()
    assert "6/16" in out.getvalue()


def test_the_display_in_mid_sweep_shows_running_trials_and_the_time_left() -> None:
    now = [0.0]
    display = ProgressDisplay(Console(file=io.StringIO(), width=160), clock=lambda: now[0])
    sweep = histories.sweep(proposals=0)
    display.handle(SweepStarted(replace(sweep, trials=(), budget_trials=2)))
    trial = sweep.trials[0]
    display.handle(TrialStarted(replace(trial, evaluations=(), outcome=OutcomeKind.RUNNING)))
    now[0] = 12.0
    for evaluation in trial.evaluations[:6]:
        display.handle(TrialEvaluated(0, evaluation, DecisionRecord(0, "continue", "")))
    page = shown(display.render())
    assert "6/12" in page
    assert "about 0:00:36 left" in page  # 6 epochs took 12 s; 6 of this trial and 12 of another are left


def test_a_comparison_says_who_leads_and_why_to_doubt_it() -> None:
    first = histories.sweep()
    second = replace(
        first, name="ships", trials=first.trials[:2], data_fingerprint="sha256:other", budget_epochs=6
    )
    comparison = build_comparison(first, second)
    words = comparison.to_text()
    assert "vehicles's winner is ahead by" in comparison.verdict
    assert "the data differ" in words
    assert "12 and 6 epochs" in words
    assert build_comparison(first, replace(second, trials=())).verdict.startswith("At least one")
    assert "different metrics" in build_comparison(first, replace(second, metric="ap")).verdict


def test_a_comparison_names_the_settings_that_differ_and_escapes_them() -> None:
    first = histories.sweep(hostile=True)
    second = replace(first, name="ships", spec_yaml=first.spec_yaml.replace("epochs: 12", "epochs: 24"))
    comparison = build_comparison(first, second)
    assert ("budget.epochs", "12", "24") in comparison.settings
    page = build_comparison(first, histories.sweep()).to_html()
    assert histories.HOSTILE not in page
    assert "&lt;script&gt;" in page
