"""What a running sweep shows: lines where there is no terminal, a live display where there is one."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import histories
import pytest
from rich.console import Console

from lossweep.dashboards.terminal.progress import HEARTBEAT, TICK_S, ProgressDisplay
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import (
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind


def begun(trial: TrialHistory) -> TrialHistory:
    return replace(trial, evaluations=(), outcome=OutcomeKind.RUNNING, score=None, reason="")


def events(sweep: SweepHistory) -> Iterator[Event]:
    """The sweep as it was told, one trial after another."""
    yield SweepStarted(replace(sweep, trials=(), state="running"))
    for trial in sweep.trials:
        yield TrialStarted(begun(trial))
        for evaluation in trial.evaluations:
            last = evaluation is trial.evaluations[-1]
            action = Decision.PRUNE if last and trial.outcome is OutcomeKind.PRUNED else Decision.CONTINUE
            yield TrialEvaluated(
                trial.number, evaluation, DecisionRecord(evaluation.step, action, trial.reason)
            )
        yield TrialEnded(trial)
    yield SweepEnded(sweep)


def plain(told: list[Event], clock: Callable[[], float], stopping: Callable[[], str] = str) -> list[str]:
    out = io.StringIO()
    display = ProgressDisplay(Console(file=out, width=80), clock=clock, stopping=stopping)
    for event in told:
        display.handle(event)
    display.close()
    assert "\x1b" not in out.getvalue()
    return out.getvalue().splitlines()


def test_plain_lines_are_starts_and_ends_and_nothing_of_evaluations() -> None:
    sweep = histories.sweep(proposals=0)
    seconds = iter(range(10_000))
    lines = plain(list(events(sweep)), lambda: next(seconds) / 100.0)
    assert len(lines) == 2 * len(sweep.trials) + 2
    assert (
        lines[0] == "[ 0/16] Sweep vehicles: 16 trials of 12 epochs, objective tuned_f1 (use case counting)"
    )
    assert lines[1].startswith("[ 0/16] Trial 0 (control cross_entropy) starts: cross_entropy @1e-3")
    assert lines[2].startswith("[ 1/16] Trial 0 (control cross_entropy) completed, tuned_f1 0.")
    assert lines[2].endswith(" left")
    pruned = next(line for line in lines if "pruned" in line)
    assert pruned.startswith("[ 4/16] Trial 3 pruned at epoch 4/12, tuned_f1 0.")
    assert "AP 0.31 under the median" in pruned
    assert any("Trial 4 diverged at epoch 3/12: all_foreground" in line for line in lines)
    assert lines[-1].startswith("[ 6/16] Sweep vehicles finished after 0:00:0")
    assert lines[-1].endswith("3 completed, 1 pruned, 1 diverged, 1 failed")
    assert not any("leads" in line for line in lines), "who won is the command's to print, once"


def test_a_spared_trial_is_told_of_since_it_does_not_end() -> None:
    sweep = histories.sweep(proposals=0)
    trial = sweep.trials[2]
    spared = DecisionRecord(32, Decision.SPARE, "it audits the pruner")
    told = [
        SweepStarted(replace(sweep, trials=())),
        TrialStarted(begun(trial)),
        TrialEvaluated(2, trial.evaluations[0], spared),
    ]
    assert plain(told, lambda: 0.0)[-1] == "[ 0/16] Trial 2 at epoch 1/12: spare, it audits the pruner"


def test_a_quiet_half_minute_makes_a_heartbeat_with_the_running_trials_figures() -> None:
    sweep = histories.sweep(proposals=0)
    now = [0.0]
    out = io.StringIO()
    display = ProgressDisplay(Console(file=out, width=80), clock=lambda: now[0], most_running=1)
    display.handle(SweepStarted(replace(sweep, trials=())))
    for trial in sweep.trials[:2]:
        display.handle(TrialStarted(begun(trial)))
    before = len(out.getvalue().splitlines())
    for i in range(5):
        for trial in sweep.trials[:2]:
            now[0] += HEARTBEAT / 4
            display.handle(
                TrialEvaluated(trial.number, trial.evaluations[i], DecisionRecord(0, Decision.CONTINUE, ""))
            )
    beats = out.getvalue().splitlines()[before:]
    assert len(beats) == 2, "ten evaluations over 75 seconds"
    assert beats[0].startswith("[ 0/16] running: #0 2/12 R 0.")
    assert "; 1 more; about" not in beats[0]
    assert "1 more" in beats[0]


def test_a_wish_to_stop_is_told_once_and_named_at_the_end() -> None:
    sweep = histories.sweep(proposals=0)
    told = list(events(sweep))[:-1]
    told.append(SweepEnded(replace(sweep, state="interrupted")))
    lines = plain(told, lambda: 0.0, lambda: "interrupted by Ctrl-C")
    assert len([line for line in lines if line.startswith("Stopping (interrupted by Ctrl-C)")]) == 1
    assert "Sweep vehicles interrupted by Ctrl-C after" in lines[-1]


def test_a_resumed_sweep_and_trial_say_so() -> None:
    sweep = histories.sweep("running")
    running = sweep.trials[-1]
    lines = plain([SweepStarted(sweep), TrialStarted(running)], lambda: 0.0)
    assert "Sweep vehicles goes on" in lines[0]
    assert f"Trial {running.number} goes on after epoch 5: " in lines[1]


def test_the_live_display_is_taken_away_at_the_end() -> None:
    out = io.StringIO()
    sweep = histories.sweep(proposals=0)
    with ProgressDisplay(Console(file=out, width=160, force_terminal=True)) as display:
        for event in events(sweep):
            display.handle(event)
    assert "\x1b[?25h" in out.getvalue(), "the cursor is shown again"
    last = out.getvalue().splitlines()[-1]
    assert "[ 6/16] Sweep vehicles finished" in last
    assert "leads" not in last


def test_the_live_display_is_taken_away_when_the_sweep_does_not_start() -> None:
    out = io.StringIO()

    def fail() -> None:
        with ProgressDisplay(Console(file=out, width=80, force_terminal=True)) as display:
            display.handle(SweepStarted(histories.sweep()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.getvalue().endswith("\x1b[2K"), "its lines are erased"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 40), (60, 14)])
def test_the_live_display_fits_its_terminal(width: int, height: int) -> None:
    sweep = histories.sweep()
    running = [replace(histories.sweep("running").trials[-1], number=20 + i) for i in range(30)]
    console = Console(file=io.StringIO(), width=width, height=height)
    display = ProgressDisplay(
        console, plain=False, most_running=100, stopping=lambda: "interrupted by Ctrl-C"
    )
    display._progress.take(SweepStarted(replace(sweep, trials=(*sweep.trials, *running))))
    console.print(display.render())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # a StringIO
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    page = " ".join(" ".join(lines).split())
    for words in (
        "30 running",
        "1 pruned",
        "1 diverged",
        "above the control",
        "Stopping",
        "recall",
        "5/12",
        "more",
    ):
        assert words in page


def test_the_display_in_mid_sweep_shows_running_trials_and_the_time_left() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=160)
    display = ProgressDisplay(console, plain=True, clock=lambda: now[0])
    sweep = histories.sweep(proposals=0)
    display.handle(SweepStarted(replace(sweep, trials=(), budget_trials=2)))
    trial = sweep.trials[0]
    display.handle(TrialStarted(begun(trial)))
    now[0] = 100.0  # the workers start: no measure of their speed
    for evaluation in trial.evaluations[:6]:
        now[0] += 2.0
        display.handle(TrialEvaluated(0, evaluation, DecisionRecord(0, Decision.CONTINUE, "")))
    console.print(display.render())
    page = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert "6/12" in page
    assert "about 0:00:36 left" in page  # 2 s an epoch; 6 of this trial and 12 of another are left


def test_a_budget_that_is_refilled_is_shown_in_epochs() -> None:
    now = [0.0]
    out = io.StringIO()
    display = ProgressDisplay(Console(file=out, width=160), plain=True, clock=lambda: now[0])
    sweep = histories.sweep(proposals=0)
    display.handle(SweepStarted(replace(sweep, trials=(), budget_trials=2, refills=True)))
    display.handle(TrialStarted(begun(sweep.trials[0])))
    for evaluation in sweep.trials[0].evaluations[:6]:
        now[0] += 2.0
        display.handle(TrialEvaluated(0, evaluation, DecisionRecord(0, Decision.CONTINUE, "")))
    live = Console(file=io.StringIO(), width=160)
    live.print(display.render())
    page = live.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert "6/24 epochs" in page
    assert "about 0:00:36 left" in page  # 18 epochs, whichever trials train them
    assert "[ 0/24 epochs] Sweep vehicles: 24 epochs, 12 a trial" in out.getvalue()


def test_what_is_warned_of_while_a_sweep_runs_is_shown_in_one_line() -> None:
    out = io.StringIO()
    heard = logging.getLogger("lossweep.search.running.tune.cluster")
    with ProgressDisplay(Console(file=out, width=40), plain=True):
        heard.warning("Still waiting for resources: %s\nand [more] than forty characters of it", "2 CPU")
        heard.info("not for a terminal")
        logging.getLogger("mlflow").warning("someone else's")
    heard.warning("too late")
    said = "Still waiting for resources: 2 CPU and [more] than forty characters of it\n"
    assert out.getvalue() == said
    terminal = Console(file=io.StringIO(), width=120, force_terminal=True)
    with ProgressDisplay(terminal, plain=False):
        heard.warning("MLflow is away")
    assert "MLflow is away" in terminal.file.getvalue()  # type: ignore[attr-defined] # a StringIO


def awaiting(now: list[float], stopping: Callable[[], str] = str) -> tuple[ProgressDisplay, io.StringIO]:
    """Two trials of 12 epochs run, each evaluated every 2 s; the first has 2 of them to go, the other 6."""
    out = io.StringIO()
    display = ProgressDisplay(Console(file=out, width=200), clock=lambda: now[0], stopping=stopping)
    sweep = histories.sweep(proposals=0)
    display.handle(SweepStarted(replace(sweep, trials=(), budget_trials=2)))
    for trial in sweep.trials[:2]:
        display.handle(TrialStarted(begun(trial)))
    for epoch in range(10):
        now[0] += 2.0
        for trial in sweep.trials[:2]:
            if epoch < 6 or trial.number == 0:
                evaluation = trial.evaluations[epoch]
                display.handle(
                    TrialEvaluated(trial.number, evaluation, DecisionRecord(0, Decision.CONTINUE, ""))
                )
    return display, out


def seconds_left(display: ProgressDisplay) -> float:
    console = Console(file=io.StringIO(), width=200)
    console.print(display.render())
    found = re.search(r"about (\d+):(\d+):(\d+) left", console.file.getvalue())  # type: ignore[attr-defined]
    assert found, "nothing is said of the time left"
    hours, minutes, seconds = map(int, found.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def test_the_time_left_is_never_below_what_is_waited_for() -> None:
    now = [0.0]
    display, _ = awaiting(now)
    # Trial 1 has been silent for 8 s, four times the usual; by the rate alone there would be 10 s left.
    assert seconds_left(display) >= 8.0
    for silent in (60.0, 600.0, 7200.0):
        now[0] = 12.0 + silent
        assert seconds_left(display) >= silent


def test_the_last_trial_alone_is_not_as_fast_as_all_side_by_side() -> None:
    now = [0.0]
    display, _ = awaiting(now)
    sweep = histories.sweep(proposals=0)
    for epoch in (6, 7):  # trial 1 is heard of again, 4 of its epochs are left at 2 s each
        now[0] += 2.0
        evaluation = sweep.trials[1].evaluations[epoch]
        display.handle(TrialEvaluated(1, evaluation, DecisionRecord(0, Decision.CONTINUE, "")))
    display.handle(TrialEnded(sweep.trials[0]))
    assert seconds_left(display) >= 8.0


def test_a_wish_to_stop_is_told_at_once_with_what_is_waited_for_though_nothing_reports() -> None:
    now, reason = [0.0], [""]
    display, out = awaiting(now, lambda: reason[0])
    now[0] = 54.0
    with display:
        reason[0] = "interrupted by Ctrl-C"
        deadline = time.monotonic() + 60.0
        while "Stopping" not in out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(1.5 * TICK_S)
    assert [line for line in out.getvalue().splitlines() if line.startswith("Stopping")] == [
        "Stopping (interrupted by Ctrl-C): waits for the next evaluation of trial 0 (34 s so far, usually "
        "2 s), trial 1 (42 s so far, usually 2 s); Ctrl-C again stops at once."
    ]


def test_a_wish_to_stop_before_any_trial_runs_is_told_too() -> None:
    out = io.StringIO()
    with ProgressDisplay(Console(file=out, width=200), stopping=lambda: "interrupted by SIGTERM"):
        deadline = time.monotonic() + 60.0
        while not out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert out.getvalue() == (
        "Stopping (interrupted by SIGTERM): waits for what is under way; Ctrl-C again stops at once.\n"
    )
