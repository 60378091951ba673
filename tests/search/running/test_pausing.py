"""A sweep that pauses trials, from its file to its end, and drivers that die while they pause and thaw."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_sweeps import spec, task, workspace

from lossweep.dashboards.terminal.tables import status
from lossweep.dashboards.terminal.trial_story import why
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.attempts import LedgerAttempts
from lossweep.search.ledger.journal import SweepJournal
from lossweep.search.ledger.patience import PatientStorage
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.stopping import StopRequest
from lossweep.search.simulation.training_log import TrainingLog, trained
from lossweep.search.study.events import TrialEnded
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import StopKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.upkeep.checkpoints import needed_trials
from lossweep.search.workspace import Workspace
from tests.dying import die_at, run_until_killed

TRIALS, EPOCHS = 12, 8

MOMENTS: list[tuple[type, str, int, str]] = [
    (SweepJournal, "record_decision", 1, "before"),
    (SweepJournal, "record_decision", 1, "after"),
    (SweepJournal, "record_decision", 4, "after"),
    (PatientStorage, "set_trial_state_values", 5, "before"),
    (PatientStorage, "set_trial_state_values", 5, "after"),
    (PatientStorage, "set_trial_state_values", 9, "before"),
    (PatientStorage, "set_trial_state_values", 16, "before"),
    (PatientStorage, "set_trial_user_attr", 12, "after"),
    (PatientStorage, "set_trial_user_attr", 16, "after"),
    (LedgerAttempts, "start", 9, "after"),
    (LedgerAttempts, "end", 9, "before"),
]


def paused() -> SweepSpec:
    rungs = {"rungs": [0.25, 0.5], "min_peers": 1, "audit": 0.0, "pause": True}
    return spec(trials=TRIALS, epochs=EPOCHS, pruning=rungs)


def run(where: Workspace, folder: Path, **options: Any) -> SweepHistory:
    return run_sweep(paused(), where, task=task(folder), on_signal=False, **options)


def _drive(where: Workspace, folder: Path, moment: tuple[type, str, int, str]) -> None:
    die_at(*moment)
    run(where, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SweepHistory:
    root = tmp_path_factory.mktemp("whole")
    return run(workspace(root), root / "work")


def shown(what: Any) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(what)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_at_its_end_nothing_is_paused_and_why_tells_the_story(whole: SweepHistory) -> None:
    assert whole.state == "finished"
    counts = whole.counts()
    assert counts["paused"] == counts["running"] == counts["interrupted"] == 0
    assert counts["pruned"] > 2
    actions = {
        t.number: [d.action.value for d in t.decisions if d.action != "continue"] for t in whole.trials
    }
    gone_on = next(number for number, found in actions.items() if found[:2] == ["pause", "thaw"])
    ended = next(t for t in whole.trials if t.outcome is OutcomeKind.PRUNED)
    assert actions[ended.number][-2:] == ["pause", "prune"]
    story = shown(why(whole, ended.number))
    assert "rung 0.25" in story
    assert "paused to the end of the search" in story
    assert "thaw" in shown(why(whole, gone_on))
    assert "that it had paused go on after all" in shown(status(whole))


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: f"{m[3]}-{m[1]}-{m[2]}")
def test_a_driver_killed_at_any_moment_is_followed_to_the_same_end(
    tmp_path: Path, moment: tuple[type, str, int, str], whole: SweepHistory
) -> None:
    where, folder = workspace(tmp_path), tmp_path / "work"
    run_until_killed(_drive, where, folder, moment)
    history = run(where, folder, resume=True)
    assert history.state == "finished"
    for trial, same in zip(history.trials, whole.trials, strict=True):
        assert trial.schedule == same.schedule
        assert trial.evaluations == same.evaluations
        assert [d for d in trial.decisions if d.action != "retry"] == list(same.decisions)
        assert (trial.outcome, trial.reason, trial.score) == (same.outcome, same.reason, same.score)
    assert TrainingLog(folder).trained_needlessly() == []
    most = Counter(trained(folder)).most_common(1)[0][1]
    assert most <= 2  # the epoch in hand when it died


class StopAtPause:
    """A listener that stops the sweep when a trial is paused."""

    def __init__(self) -> None:
        self.stop = StopRequest()

    def handle(self, event: object) -> None:
        if isinstance(event, TrialEnded) and event.trial.outcome is OutcomeKind.PAUSED:
            self.stop.set("a test wants it", StopKind.USER)

    def close(self) -> None:
        pass


def test_what_is_paused_waits_while_a_sweep_is_stopped(tmp_path: Path, whole: SweepHistory) -> None:
    where, folder = workspace(tmp_path), tmp_path / "work"
    listener = StopAtPause()
    stopped = run_sweep(paused(), where, [listener], task=task(folder), stop=listener.stop)
    assert stopped.state == "stopped"
    assert stopped.paused == stopped.counts()["paused"] == 1
    waiting = next(trial for trial in stopped.trials if trial.outcome is OutcomeKind.PAUSED)
    assert waiting.number in needed_trials(stopped, 0)  # its checkpoint stays
    assert "1 paused: they go on if their peers turn out no better" in shown(status(stopped))
    standing = existing_sweep(where, "small")
    assert standing is not None
    assert (standing.paused, standing.unfinished, standing.finished) == (1, 0, False)
    assert "with those of 1 paused that turn out no worse" in str(standing)
    late = replace(standing, spent=True)
    assert not late.finished  # no time to go on, but it has to end yet
    assert replace(late, unfinished=1).finished
    history = run(where, folder, resume=True)
    assert [(t.outcome, t.reason) for t in history.trials] == [(t.outcome, t.reason) for t in whole.trials]
    ledger = Ledger(where.database_url)
    assert all(one.ended is not None for one in ledger.attempts(ledger.sweep("small").id))
    ledger.close()
