"""Drivers that are killed without a word, at the worst moments, and what the next one makes of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from small_sweeps import spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.attempts import LedgerAttempts
from lossweep.search.ledger.journal import SweepJournal
from lossweep.search.ledger.lease import Lease
from lossweep.search.ledger.patience import PatientStorage
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import TrainingLog, trained
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.workspace import Workspace
from tests.dying import die_at, run_until_killed

TRIALS, EPOCHS = 7, 4

MOMENTS: list[tuple[type, str, int, str]] = [
    (Lease, "__enter__", 1, "after"),
    (PatientStorage, "_create_new_trial", 3, "before"),
    (PatientStorage, "_create_new_trial", 3, "after"),
    (LedgerAttempts, "start", 2, "after"),
    (PlantedTrainer, "_save", 6, "before"),
    (PlantedTrainer, "_save", 6, "after"),
    (SweepJournal, "record", 7, "before"),
    (SweepJournal, "record", 8, "after"),
    (PatientStorage, "set_trial_intermediate_value", 9, "after"),
    (PatientStorage, "set_trial_user_attr", 2, "after"),
    (PatientStorage, "set_trial_state_values", 2, "before"),
    (PatientStorage, "set_trial_state_values", 2, "after"),
    (LedgerAttempts, "end", 3, "before"),
]


def _drive(where: Workspace, folder: Path, resume: bool, moment: tuple[type, str, int, str]) -> None:
    die_at(*moment)
    run_sweep(spec(trials=TRIALS, epochs=EPOCHS), where, resume=resume, task=task(folder))


def killed(where: Workspace, folder: Path, moment: tuple[type, str, int, str]) -> None:
    """Drive the sweep in a process of its own until it dies."""
    resume = existing_sweep(where, "small") is not None
    run_until_killed(_drive, where, folder, resume, moment)


def resumed(where: Workspace, folder: Path) -> SweepHistory:
    return run_sweep(
        spec(trials=TRIALS, epochs=EPOCHS), where, resume=True, task=task(folder), on_signal=False
    )


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> SweepHistory:
    root = tmp_path_factory.mktemp("unkilled")
    return run_sweep(spec(trials=TRIALS, epochs=EPOCHS), workspace(root), task=task(root / "work"))


def assert_nothing_was_lost(
    where: Workspace, history: SweepHistory, unkilled: SweepHistory, folder: Path
) -> None:
    assert history.state == "finished"
    assert [trial.number for trial in history.trials] == list(range(TRIALS))
    assert {trial.outcome for trial in history.trials} == {OutcomeKind.COMPLETED}
    assert [trial.schedule for trial in history.trials] == [trial.schedule for trial in unkilled.trials]
    assert [trial.seed for trial in history.trials] == [trial.seed for trial in unkilled.trials]
    for trial, same in zip(history.trials, unkilled.trials, strict=True):
        assert trial.evaluations == same.evaluations
        assert [d for d in trial.decisions if d.action != "retry"] == list(same.decisions)
        assert trial.score == same.score
    ledger = Ledger(where.database_url)
    assert all(one.ended is not None for one in ledger.attempts(ledger.sweep("small").id))
    ledger.close()
    # Only what no checkpoint held was trained again: at most the epoch in hand when it died.
    assert TrainingLog(folder).trained_needlessly() == []
    again = Counter(trained(folder))
    assert set(again) == {(n, e) for n in range(TRIALS) for e in range(1, EPOCHS + 1)}
    assert sum(again.values()) <= TRIALS * EPOCHS + 1


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: f"{m[3]}-{m[1]}-{m[2]}")
def test_a_driver_killed_at_any_moment_loses_nothing(
    tmp_path: Path, moment: tuple[type, str, int, str], unkilled: SweepHistory
) -> None:
    where, folder = workspace(tmp_path), tmp_path / "work"
    killed(where, folder, moment)
    state = existing_sweep(where, "small")
    assert state is not None
    assert state.holder is None  # its lease died with it
    assert_nothing_was_lost(where, resumed(where, folder), unkilled, folder)


@pytest.mark.slow
def test_a_driver_killed_again_and_again_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """On SQLite and on PostgreSQL."""
    where, folder = workspace(tmp_path, database_url), tmp_path / "work"
    reference = run_sweep(
        spec("reference", trials=TRIALS, epochs=EPOCHS), where, task=task(tmp_path / "reference")
    )
    for moment in (MOMENTS[2], MOMENTS[5], MOMENTS[9]):
        killed(where, folder, moment)
    history = resumed(where, folder)
    assert [t.schedule for t in history.trials] == [t.schedule for t in reference.trials]
    assert [t.evaluations for t in history.trials] == [t.evaluations for t in reference.trials]
    assert history.counts()["completed"] == TRIALS
    assert TrainingLog(folder).trained_needlessly() == []
    assert len(trained(folder)) <= TRIALS * EPOCHS + 3
