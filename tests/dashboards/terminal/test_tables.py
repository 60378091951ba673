"""What the terminal shows: tables and comparisons."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import histories
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from lossweep.commands.driving import conclude
from lossweep.dashboards.comparison.page import comparison_page
from lossweep.dashboards.comparison.two_sweeps import build_comparison
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.terminal import tables
from lossweep.dashboards.terminal.compare import ComparisonTable
from lossweep.dashboards.terminal.sparkline import BARS, sparkline
from lossweep.dashboards.terminal.trial_story import why
from lossweep.search.ledger import Attempt
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.confirmation import Role
from lossweep.search.study.faults import FaultKind
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.scoring.objectives import ObjectiveSpec


def shown(what: RenderableType, width: int = 220) -> str:
    console = Console(file=io.StringIO(), width=width)
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


@pytest.mark.parametrize("width", [60, 80, 120, 150, 200])
def test_every_table_fits_its_terminal_with_every_score_in_full(width: int) -> None:
    sweep = histories.sweep("running")
    views = [
        tables.leaderboard(sweep),
        tables.status(sweep),
        tables.sweeps([sweep]),
        *(why(sweep, trial.number) for trial in sweep.trials),
    ]
    pages = [shown(view, width) for view in views]
    assert max(len(line) for page in pages for line in page.splitlines()) <= width
    assert not any("…" in page for page in pages)
    for page in pages[:3]:
        assert "0.696" in page  # of trial 2
        assert "+0.099" in page  # over trial 0, the control, with 0.597


STATUS = """\
vehicles  running  14/16 trials  1 running  11 completed  1 pruned  1 diverged  1 failed
objective: tuned_f1 (use case counting)

trial  epoch  recall             precision          F1                    AP  phase
  #14   5/12  ▄▅▃▃▇        0.78  ▁▁▄▅▂        0.18  ▁▁▃▄▃        0.30  0.468  weighted_ce, cycle 2

Trial 2 leads with F1 (tuned threshold) 0.696, 0.099 above the control (plain cross-entropy at 1e-3 \
constant, the only one tried: 0.597). One seed each, and picked as the best of many on the \
same validation split: the difference has no spread yet and is \
unconfirmed. Fresh seeds would tell: lossweep confirm vehicles.

rank  trial  outcome    tuned_f1  vs control      P      R     F1  P tuned  R tuned  F1 tuned     AP  schedule
   1     #2  completed     0.696      +0.099  0.796  0.596  0.682    0.716    0.676     0.696  0.675  \
weighted_ce(power=0.7) @1e-3 x2 -> jaccard @1e-4 x2 | 3 cycles
   3     #0  completed     0.597           –  0.697  0.497  0.580    0.617    0.577     0.597  0.579  \
control cross_entropy: cross_entropy @1e-3 x12
   2     #1  completed     0.617      +0.020  0.717  0.517  0.601    0.637    0.597     0.617  0.599  \
control jaccard: jaccard @1e-3 x12

The pruner ended 1 trial. None that it wanted ended was let go on as a test, so how often it is \
wrong is not known.
"""


def test_status_word_for_word() -> None:
    """Figures that follow from `histories`, by hand: level 0.71 less its last 2 %, and each curve's noise."""
    assert shown(tables.status(histories.sweep("running"), most=3), 1000) == STATUS


def test_status_says_who_drives_a_sweep_and_why_one_is_not_driven() -> None:
    sweep = replace(histories.sweep("running"), driver="process 7 on node1, since 2026-01-02 03:04:05 UTC")
    head = shown(tables.status(sweep)).splitlines()[:3]
    assert head[2] == "driven by process 7 on node1, since 2026-01-02 03:04:05 UTC"
    head = shown(tables.status(sweep.without_driver("its driver is gone"))).splitlines()[:3]
    assert head[0].startswith("vehicles  interrupted  14/16 trials")
    assert head[0].endswith("1 interrupted")
    assert "running" not in head[0]
    assert head[2] == "interrupted: its driver is gone"
    stopped = replace(histories.sweep("interrupted"), note="interrupted by Ctrl-C, and again")
    assert shown(tables.status(stopped)).splitlines()[2] == "interrupted by Ctrl-C, and again"


def test_the_leaderboard_at_80_columns_has_the_figures_at_half_and_the_schedule_below() -> None:
    lines = shown(tables.leaderboard(histories.sweep()), 80).splitlines()
    head = next(line for line in lines if "rank" in line)
    assert head.split() == ["rank", "trial", "outcome", "tuned_f1", "vs", "control", "P", "R", "F1", "AP"]
    row = next(i for i, line in enumerate(lines) if "#2" in line)
    assert len(re.findall(r"\d\.\d{3}\b", lines[row])) == 6
    assert lines[row + 1].strip() == str(histories.cycling())


def test_the_evaluations_of_a_trial_stand_under_their_phases() -> None:
    lines = shown(why(histories.sweep(), 2), 80).splitlines()
    phases = [line for line in lines if line.startswith("cycle ")]
    assert phases[1] == "cycle 1, phase 2: jaccard"
    assert len(phases) == 6


def test_markup_in_user_text_is_text() -> None:
    sweep = histories.sweep()
    reason = "[red]not markup[/red] [/oops]"
    sweep = replace(sweep, name="a[b]c", trials=(replace(sweep.trials[3], reason=reason),))
    assert reason in shown(why(sweep, 3))
    assert "a[b]c" in shown(tables.sweeps([sweep]))
    assert "a[b]c" in shown(tables.status(sweep))


def test_why_tells_the_whole_story() -> None:
    page = shown(why(histories.sweep(), 4))
    for words in ("diverged", "all_foreground", "focal", "first rung", "ap=0.1", "phase0.loss"):
        assert words in page
    assert "Traceback" in shown(why(histories.sweep(), 5))
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    lost = Attempt(4, "a", 2, began, began + timedelta(seconds=7), FaultKind.WORKER_LOST, "its worker died")
    page = shown(why(histories.sweep(), 4, attempts=[lost], checkpoints=[Path("x.ckpt")], run="abc"))
    for words in ("x.ckpt (1 in all)", "abc", "2026-01-02 03:04:05", "its worker died; micro-batch 2"):
        assert words in page
    assert "training 75%, evaluation 20%, data 5%; 120 images/s in training" in page
    with pytest.raises(UserError, match="no such trial"):
        why(histories.sweep(), 999)


def test_why_leaves_out_what_the_seconds_of_an_old_ledger_went_to() -> None:
    sweep = histories.sweep()
    old = [replace(each, spent={}) for each in sweep.trials[4].evaluations]
    sweep = replace(sweep, trials=(replace(sweep.trials[4], evaluations=tuple(old)),))
    assert "images/s" not in shown(why(sweep, 4))


def test_status_shows_running_trials_with_their_curves() -> None:
    page = shown(tables.status(histories.sweep("running")))
    assert "5/12" in page
    assert any(bar in page for bar in BARS)


def test_status_and_the_end_of_a_sweep_say_how_often_the_pruner_would_have_been_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    sweep = histories.audited(histories.sweep())
    assert "it was wrong about " in shown(tables.status(sweep), 1000)
    conclude(sweep, Workspace.at(tmp_path))
    assert "it was wrong about " in capsys.readouterr().out
    assert "pruner" not in shown(tables.status(replace(sweep, trials=sweep.trials[:3])), 1000)


def test_status_the_end_of_a_sweep_and_the_report_list_the_pareto_front(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    objective = ObjectiveSpec(metrics=("recall", "tuned_count_error"))
    sweep = simulate_sweep(16, 1, objective=objective, sampler=SamplerSpec(sampler="nsga2"))
    done = [trial for trial in sweep.trials if trial.outcome is OutcomeKind.COMPLETED]
    assert all(trial.feasible for trial in done)
    # The more recall the better, the fewer miscounted the better; the most recall first.
    best = [
        one.number
        for one in sorted(done, key=lambda trial: -trial.values[0])
        if not any(
            other.values[0] >= one.values[0]
            and other.values[1] <= one.values[1]
            and other.values != one.values
            for other in done
        )
    ]
    assert 1 < len(best) < len(done)
    conclude(sweep, Workspace.at(tmp_path))
    for page in (shown(tables.status(sweep), 1000), capsys.readouterr().out):
        _, title, below = page.partition("Pareto front: no trial is better than these in every metric")
        assert title
        numbers = [int(word) for word in re.findall(r"^ *#(\d+) ", below, flags=re.MULTILINE)]
        assert numbers == best
        for number in best:
            assert f"{sweep.trials[number].values[1]:.3f}" in below
    assert build_report(sweep).count('<table id="front-table"') == 1
    assert "Pareto front" not in shown(tables.status(histories.sweep()), 1000)
    assert "front-table" not in build_report(histories.sweep())


def test_an_empty_project_says_so() -> None:
    assert "No sweeps" in shown(tables.sweeps([]))


@given(st.lists(st.floats(allow_nan=True), max_size=40))
def test_sparklines_take_any_number(values: list[float]) -> None:
    assert len(sparkline(values, width=16)) == min(16, len(values))


def test_a_sparkline_by_hand() -> None:
    assert sparkline([0.0, 0.5, 1.0, float("nan")]) == "▁▅█·"


def test_a_comparison_says_who_leads_and_why_to_doubt_it() -> None:
    first = histories.sweep()
    second = replace(
        first, name="ships", trials=first.trials[:2], data_fingerprint="sha256:other", budget_epochs=6
    )
    comparison = build_comparison(first, second)
    words = shown(ComparisonTable(comparison), 80)
    assert comparison.verdict.startswith("The winner of vehicles is ahead by")
    assert "the data differ" in words
    assert "12 and 6 epochs" in words
    assert build_comparison(first, replace(second, trials=())).verdict.startswith("At least one")
    assert "different metrics" in build_comparison(first, replace(second, metric="ap")).verdict


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_comparison_fits_its_terminal(width: int) -> None:
    first = histories.sweep()
    second = replace(
        first, name="ships", spec_yaml=first.spec_yaml.replace("scenes", "folder, root: " + "x" * 90)
    )
    words = shown(ComparisonTable(build_comparison(first, second)), width)
    assert max(map(len, words.splitlines())) <= width
    assert "weighted_ce" in words


def test_a_comparison_names_the_settings_that_differ_and_escapes_them() -> None:
    first = histories.sweep(hostile=True)
    second = replace(first, name="ships", spec_yaml=first.spec_yaml.replace("epochs: 12", "epochs: 24"))
    comparison = build_comparison(first, second)
    assert ("budget.epochs", "12", "24") in comparison.settings
    assert histories.HOSTILE in shown(ComparisonTable(build_comparison(first, histories.sweep())), 200)
    page = comparison_page(build_comparison(first, histories.sweep()))
    assert histories.HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_why_says_what_a_confirmation_trial_confirms() -> None:
    sweep = histories.confirmed()
    assert sweep.confirmation is not None
    arms = {arm.role: arm for arm in reversed(sweep.confirmation.plan.arms)}  # the first leader's
    page = shown(why(sweep, sweep.confirmation.of(arms[Role.RATES_ALONE].schedule)[1].number))
    assert "a confirmation of trial 2: rates and lengths with plain cross-entropy of trial 2" in page
    assert "501, seed 2 of the confirmation" in page
    leader = sweep.confirmation.of(arms[Role.LEADER].schedule)[0]
    page = shown(why(sweep, leader.number))
    assert "a confirmation of trial 2: leader trial 2" in page
    assert leader.held_out is not None
    head, test = page.split("On the test split, at validation's threshold")
    assert "test" not in head
    assert f"{leader.held_out.score:.3f}" in test
    assert f"{leader.held_out.thresholds[0]:.4g} (on logits)" in test
    control = sweep.confirmation.of(arms[Role.CONTROL].schedule)[0]
    words = "the control is plain cross-entropy at 0.00316 dropping to a tenth, the best of 4 tried"
    assert words in shown(why(sweep, control.number))
    assert "On the test split" not in shown(why(sweep, 2)), "the search never reads it"


def test_why_knows_an_arm_of_an_earlier_confirmation() -> None:
    sweep = histories.confirmed()
    assert sweep.confirmation is not None
    first, *rest = sweep.confirmation.plan.arms
    later = replace(sweep.confirmation.plan, arms=(first, *rest[1:]))
    number = sweep.confirmation.of(rest[0].schedule)[0].number
    page = shown(why(replace(sweep, confirmation=replace(sweep.confirmation, plan=later)), number))
    assert "of an earlier round" in page


def test_a_comparison_names_each_control_and_how_many_were_tried() -> None:
    rows = {what: values for what, *values in build_comparison(histories.sweep(), histories.confirmed()).rows}
    assert rows["control"] == [
        "plain cross-entropy at 1e-3 constant, the only one tried",
        "plain cross-entropy at 0.00316 dropping to a tenth, the best of 4 tried",
    ]
    assert rows["loss schedules tried"] == ["12", "12"]


def test_a_comparison_says_what_is_confirmed_and_what_is_not() -> None:
    worse = replace(histories.sweep(), trials=histories.sweep().trials[:2])
    first, second = worse, replace(histories.confirmed(), name="ships")
    comparison = build_comparison(first, second)
    rows = {what: values for what, *values in comparison.rows}
    assert rows["verdict on its leader"] == ["not confirmed", "#2: beats"]
    assert rows["confirmed difference"] == ["–", "+0.073 (+0.064 to +0.081, 5 seeds)"]
    assert rows["its leader's mean"] == ["–", "0.717 ± 0.019"]
    assert rows["its control's mean"] == ["–", "0.644 ± 0.020"]
    assert "One seed each" in comparison.verdict, "one of the two is not confirmed"
    assert not any("confirmed" in row[0] for row in build_comparison(first, first).rows)


def test_two_confirmed_sweeps_are_compared_by_their_fresh_seeds() -> None:
    first = histories.confirmed()
    worse = replace(histories.confirmed(levels={Role.LEADER: 0.64}), name="ships")
    comparison = build_comparison(worse, first)
    assert "One seed each" not in comparison.verdict
    assert comparison.verdict == (
        "Over fresh seeds on the test split the leader of vehicles is ahead by 0.050 F1 (tuned threshold): "
        "0.667 ± 0.019 and 0.717 ± 0.019. What each gains over its own control stands below."
    )
    other = replace(worse, data_fingerprint="sha256:other")
    assert build_comparison(other, first).verdict.endswith("But see the warnings.")
