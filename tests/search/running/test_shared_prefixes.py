"""Trials side by side share what they begin with; a driver killed at any moment trains none of it twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossweep.search.ledger.database import PatientStorage
from lossweep.search.ledger.journal import SweepJournal
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.existing import existing_sweep
from lossweep.search.running.inline import InlineRunner
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import StudyRecord
from lossweep.search.sweep_spec import SweepSpec
from lossweep.trainers.evaluation import Evaluation
from tests.dying import die_at, run_until_killed
from tests.search.small_sweeps import spec, task, workspace

TRIALS, EPOCHS, SLOTS = 12, 8, 3
SPACE: dict[str, Any] = {
    "cycles": {"choice": [1, 2]},
    "phases": [
        {
            "losses": [{"term": "cross_entropy"}, {"term": "focal", "gamma": 2.0}],
            "learning_rate": 1e-3,
            "share": {"low": 0.25, "high": 0.75, "step": 0.25},
        },
        {"losses": [{"term": "jaccard"}, {"term": "dice"}], "learning_rate": {"choice": [1e-4, 3e-4]}},
    ],
}


def sharing(**changes: Any) -> SweepSpec:
    return spec(trials=TRIALS, epochs=EPOCHS, space=SPACE, controls={"search": False, "named": []}, **changes)


def drive(root: Path, resume: bool = False, **changes: Any) -> SweepHistory:
    runner, work = InlineRunner(SLOTS), task(root / "work")
    return run_sweep(
        sharing(**changes), workspace(root), resume=resume, task=work, runner=runner, on_signal=False
    )


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepHistory]:
    root = tmp_path_factory.mktemp("unkilled")
    return root, drive(root)


def figures(history: SweepHistory) -> list[list[Evaluation]]:
    """What each trial reported, less who trained it: of two that begin alike, that may be either."""
    return [
        [replace(each, seconds=0.0, spent={}, trained_by=None) for each in trial.evaluations]
        for trial in history.trials
    ]


def prefixes(root: Path) -> Counter[str]:
    """How often each epoch was trained, by what was trained up to it."""
    return Counter(e.prefix for e in TrainingLog(root / "work").entries() if e.deed == "trained")


def test_every_epoch_is_trained_once_and_told_as_what_it_is(unkilled: tuple[Path, SweepHistory]) -> None:
    root, history = unkilled
    assert history.counts()["completed"] == TRIALS
    assert set(prefixes(root).values()) == {1}
    epochs = history.epochs
    assert epochs.requested == TRIALS * EPOCHS
    assert epochs.trained == len(prefixes(root))
    assert epochs.shared > epochs.requested / 3
    assert TrainingLog(root / "work").trained_twice() == []


def test_shared_or_not_a_trial_reports_the_same(unkilled: tuple[Path, SweepHistory], tmp_path: Path) -> None:
    """The same schedules one after the other, each in a workshop of its own: nothing to share."""
    from_scratch = []
    for trial in unkilled[1].trials:
        plan = _plan(trial.number, trial.seed, unkilled[1])
        from_scratch.append(list(PlantedTrainer(tmp_path / str(trial.number)).trial(plan)))
    told = [[replace(e, seconds=0.0, spent={}, trained_by=None) for e in each] for each in from_scratch]
    assert told == figures(unkilled[1])


def _plan(number: int, seed: int, history: SweepHistory) -> Any:
    from lossweep.search.conducting.plans import template_of

    return template_of(sharing()).plan(number, seed, history.trials[number].schedule)


MOMENTS: list[tuple[type, str, int, str]] = [
    (StudyRecord, "interrupt", 1, "before"),
    (StudyRecord, "interrupt", 1, "after"),
    (StudyRecord, "interrupt", 3, "after"),
    (PatientStorage, "_create_new_trial", 6, "after"),
    (PlantedTrainer, "_save", 9, "before"),
    (PlantedTrainer, "_save", 9, "after"),
    (SweepJournal, "record", 30, "before"),
    (SweepJournal, "record", 50, "after"),
]


def _drive_and_die(root: Path, moment: tuple[type, str, int, str]) -> None:
    die_at(*moment)
    drive(root)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: f"{m[3]}-{m[1]}-{m[2]}")
def test_killed_at_any_moment_and_resumed_the_figures_are_the_same(
    tmp_path: Path, moment: tuple[type, str, int, str], unkilled: tuple[Path, SweepHistory]
) -> None:
    run_until_killed(_drive_and_die, tmp_path, moment)
    assert existing_sweep(workspace(tmp_path), "small") is not None
    history = drive(tmp_path, resume=True)
    reference = unkilled[1]
    assert history.state == "finished"
    assert {trial.outcome for trial in history.trials} == {OutcomeKind.COMPLETED}
    assert [t.schedule for t in history.trials] == [t.schedule for t in reference.trials]
    assert figures(history) == figures(reference)
    assert history.epochs == reference.epochs
    # Trained again was at most the epoch that each of the slots had in hand.
    again = prefixes(tmp_path)
    assert again.keys() == prefixes(unkilled[0]).keys()
    assert sum(again.values()) <= len(again) + SLOTS
    assert TrainingLog(tmp_path / "work").trained_needlessly() == []
