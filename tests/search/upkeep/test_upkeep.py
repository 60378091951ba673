"""Exporting the winner, explaining a trial, mending what crashes leave, deleting what no leader needs."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from small_sweeps import PRIOR, spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Holder, Lease, LeaseHeld, holder_of
from lossweep.search.running.driver import create_sweep, run_sweep
from lossweep.search.study.confirmation import Confirmation, plan_confirmation
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import Proposal, StudyRecord
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.upkeep.checkpoints import checkpoints_of, gc, needed_trials, orphans
from lossweep.search.upkeep.doctor import MlflowMirror, examine
from lossweep.search.upkeep.export import export_best
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.schedule import LossSchedule, Phase
from lossweep.spaces.schedules.schedule_file import ScheduleFile, load_schedule
from lossweep.trainers.evaluation import GuardVerdict
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.prefix import TrainedEpoch


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepHistory:
    root = tmp_path_factory.mktemp("swept")
    work = task(root / "work", {1: "exception", 3: "diverge"})
    return run_sweep(spec(trials=8), workspace(root), task=work)


def test_the_winner_is_exported_and_read_back(swept: SweepHistory, tmp_path: Path) -> None:
    best = export_best(swept)
    path = tmp_path / "best.yaml"
    path.write_text(best.to_yaml(), encoding="utf-8")
    again = load_schedule(path)
    winner = swept.winner()
    assert winner is not None
    assert again == best
    assert again.schedule.phases == winner.schedule.phases
    assert again.epochs == 4
    assert again.classes == PRIOR.names
    assert winner.scored is not None
    assert again.logit_threshold == winner.scored.threshold
    assert again.threshold == pytest.approx(1 / (1 + math.exp(-winner.scored.threshold)))
    assert again.provenance["threshold_of"] == "highest F1"
    assert sum(stay.epochs for stay in again.realised) == 4
    told = again.provenance
    assert (told["sweep"], told["trial"], told["seed"]) == ("small", winner.number, winner.seed)
    assert told["scores"]["tuned_f1"] == pytest.approx(winner.score, abs=1e-6)
    assert told["against"]["control"] == "cross_entropy"
    assert told["data"] == "sha256:0"


@pytest.mark.parametrize(
    ("use_case", "name"),
    [("needle", "recall_at_precision_0.2"), ("no_false_alarms", "precision_at_recall_0.5")],
)
def test_the_exported_threshold_is_the_one_the_score_holds_at(
    use_case: str, name: str, tmp_path: Path
) -> None:
    swept = run_sweep(
        spec(trials=6, objective={"use_case": use_case}), workspace(tmp_path), task=task(tmp_path / "work")
    )
    winner = swept.winner()
    assert winner is not None
    assert winner.scored is not None
    best = export_best(swept)
    assert best.logit_threshold == winner.scored.floor_thresholds[name] != winner.scored.threshold
    assert best.provenance["threshold_of"] == name
    assert best.provenance["scores"][name] == pytest.approx(winner.score, abs=1e-6)


def test_a_saturated_threshold_is_still_told_on_logits(swept: SweepHistory) -> None:
    """Region losses push logits so far that the threshold is 0 or 1 as a probability."""
    winner = swept.winner()
    assert winner is not None
    for logit, probability in ((-800.0, 0.0), (41.5, 1.0)):
        saturated = tuple(replace(each, threshold=logit) for each in winner.evaluations)
        best = export_best(replace(swept, trials=(replace(winner, evaluations=saturated),)))
        again = ScheduleFile.from_yaml(best.to_yaml())
        assert (again.logit_threshold, again.threshold) == (logit, probability)


def test_a_trial_that_a_guard_ended_within_a_phases_first_epoch_is_exported(swept: SweepHistory) -> None:
    winner = swept.winner()
    assert winner is not None
    first = replace(winner.evaluations[0], phase_ended=True, cycle_ended=True, finished=False)
    verdict = GuardVerdict("non_finite", first.step + 1, 1, "loss is nan")
    second = replace(first, step=first.step + 1, phase=1, cycle=1, verdict=verdict)
    trial = replace(winner, evaluations=(first, replace(second, phase_ended=False, cycle_ended=False)))
    best = export_best(replace(swept, trials=(trial,)), trial.number)
    assert [(stay.phase, stay.to_step, stay.epochs) for stay in best.realised] == [
        (0, first.step, first.epoch),
        (1, first.step + 1, 0),
    ]
    assert ScheduleFile.from_yaml(best.to_yaml()) == best


def test_what_cannot_be_exported_is_said(swept: SweepHistory) -> None:
    assert export_best(swept, 4).provenance["trial"] == 4
    with pytest.raises(UserError, match="no such trial"):
        export_best(swept, 99)
    with pytest.raises(UserError, match="no trial of sweep small has completed"):
        export_best(replace(swept, trials=swept.trials[1:2]))
    scoreless = replace(swept.trials[1], evaluations=())
    with pytest.raises(UserError, match="no score"):
        export_best(replace(swept, trials=(scoreless,)), 1)


# --- checkpoints --------------------------------------------------------------------------------------------


def checkpoint(where: Workspace, number: int, epochs: int = 1) -> Any:
    phase = Phase(loss=CrossEntropy(), learning_rate=1e-3, epochs=4)
    history = [TrainedEpoch(identity(phase), epoch, None, number) for epoch in range(epochs)]
    return CheckpointStore(where.checkpoints("small")).save(f"context{number}", history, {})


@pytest.fixture(params=["folder", "object store"])
def kept(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    """A finished sweep of eight trials, with two checkpoints each."""
    where = workspace(tmp_path)
    if request.param == "object store":
        where = replace(where, kept=request.getfixturevalue("object_store_url"))
    run_sweep(spec(trials=8), where, task=task(tmp_path / "work", {1: "exception"}))
    for number in range(8):
        checkpoint(where, number, 1)
        checkpoint(where, number, 2)
    return where


def test_leaders_controls_and_unfinished_trials_keep_their_checkpoints(kept: Workspace) -> None:
    ledger = Ledger(kept.database_url)
    history = ledger.history("small")
    ledger.close()
    leaders = {trial.number for trial in history.ranked()[:2]}
    control = history.control()
    assert control is not None
    assert needed_trials(history, 2) == leaders | {control.number}
    assert len(checkpoints_of(kept, "small", 5)) == 2
    would = gc(kept, "small", leaders=2, dry_run=True)
    did = gc(kept, "small", leaders=2)
    assert (would.files, would.bytes) == (did.files, did.bytes)
    assert did.files == 16 - did.kept_files
    assert "MiB" in str(did)
    left = {n for n in range(8) if checkpoints_of(kept, "small", n)}
    assert left == leaders | {control.number}
    unfinished = replace(history.trials[7], outcome=OutcomeKind.INTERRUPTED)
    assert 7 in needed_trials(replace(history, trials=(*history.trials[:7], unfinished)), 1)
    gone = next(n for n in range(7) if n not in left)
    again = replace(unfinished, retries=gone)  # it goes on from where the failed one stood
    assert gone in needed_trials(replace(history, trials=(*history.trials[:7], again)), 1)


def test_an_unfinished_training_of_a_confirmation_keeps_its_checkpoint(swept: SweepHistory) -> None:
    plan = plan_confirmation(swept.trials, swept.directions, top=1, seeds=2, margin=0.005)
    winner = swept.winner()
    assert plan is not None
    assert winner is not None
    first = replace(winner, number=100, schedule=plan.leaders[0].schedule, control=None, confirms=0)
    later = replace(first, number=101, confirms=1, score=2.0)
    done = replace(swept, confirmation=Confirmation(plan, (first, later)))
    assert needed_trials(done, 1) & {100, 101} == {100}, "of those that have ended one stands for all"
    running = replace(later, outcome=OutcomeKind.RUNNING, score=None)
    unfinished = replace(swept, confirmation=Confirmation(plan, (first, running)))
    assert needed_trials(unfinished, 1) & {100, 101} == {100, 101}


def test_nothing_is_deleted_under_a_driver(kept: Workspace) -> None:
    ledger = Ledger(kept.database_url)
    with Lease(ledger, "small", lambda reason, kind: None), pytest.raises(LeaseHeld):
        gc(kept, "small")
    ledger.close()
    with pytest.raises(UserError):
        gc(kept, "unknown")


# --- doctor -------------------------------------------------------------------------------------------------


@pytest.fixture
def wreck(tmp_path: Path) -> Workspace:
    """What a driver that was killed on another machine, long ago, may leave behind."""
    where = workspace(tmp_path)
    ledger = Ledger(where.database_url)
    create_sweep(ledger, spec(), PRIOR)
    study = StudyRecord(optuna.load_study(study_name="small", storage=ledger.storage))
    schedule = LossSchedule(phases=(Phase(loss=CrossEntropy(), learning_rate=1e-3, epochs=4),))
    study.create(Proposal(schedule, seed=1))
    ledger.enter("small", SweepState.RUNNING)
    dead = replace(Holder.here(ledger.now()), pid=os.getpid(), born=1)
    ledger.swap_lease("small", None, "token", asdict(dead))
    ledger.close()
    checkpoint(where, 0)
    checkpoint(where, 7)
    (where.checkpoints("small") / "context0" / ".x.writing").write_bytes(b"half")
    torn = checkpoint(where, 0, 3)
    torn.write_bytes(torn.read_bytes()[:-1])
    (where.root / "checkpoints" / "forgotten").mkdir()
    (where.logs("small") / "tune-1").mkdir(parents=True)
    return where


def test_the_doctor_finds_and_mends(wreck: Workspace) -> None:
    found = examine(wreck)
    assert [one.kind for one in found] == [
        "stale lease",
        "zombie",
        "stale state",
        "orphan checkpoints",
        "left over",
        "orphan checkpoints",
    ]
    assert len(orphans(wreck, "small", {0})) == 3
    assert "3 files" in str(found[3])
    for one in found:
        assert one.mend is not None
        assert one.mend()
        assert one.mend()  # twice does no harm
    assert examine(wreck) == ()
    ledger = Ledger(wreck.database_url)
    assert holder_of(ledger, "small") == (None, False)
    history = ledger.history("small")
    ledger.close()
    assert history.state == "interrupted"
    assert [trial.outcome for trial in history.trials] == [OutcomeKind.INTERRUPTED]
    assert len(checkpoints_of(wreck, "small", 0)) == 1


def test_an_exported_schedule_that_is_trained_has_no_orphans(tmp_path: Path) -> None:
    """Beside it a sweep may be named as anything, ``train`` and ``trainings`` included."""
    where = workspace(tmp_path)
    for name in ("train", "trainings"):
        run_sweep(spec(name, trials=1), where, task=task(tmp_path / "work"))
    phase = Phase(loss=CrossEntropy(), learning_rate=1e-3, epochs=4)
    trained = CheckpointStore(where.trainings).save(
        "context", [TrainedEpoch(identity(phase), 0, None, 0)], {}
    )
    assert examine(where) == ()
    assert checkpoints_of(where, "train", 0) == checkpoints_of(where, "trainings", 0) == ()
    assert gc(where, "train", leaders=0).files == gc(where, "trainings", leaders=0).files == 0
    assert trained.exists()


def test_a_mended_sweep_goes_on(wreck: Workspace) -> None:
    for one in examine(wreck, "small"):
        assert one.mend is not None
        one.mend()
    history = run_sweep(spec(), wreck, resume=True, task=task(wreck.root / "work", fingerprint=""))
    assert history.counts()["completed"] == 7


def test_a_living_driver_is_left_alone(wreck: Workspace) -> None:
    ledger = Ledger(wreck.database_url)
    with Lease(ledger, "small", lambda reason, kind: None):
        assert {one.sweep for one in examine(wreck)} == {"forgotten"}
    ledger.close()


def test_missing_runs_are_the_business_of_the_layer_above(kept: Workspace) -> None:
    asked: list[str] = []

    def sync(history: SweepHistory) -> int:
        asked.append(history.name)
        return 2

    found = examine(kept, "small", MlflowMirror(lambda history: [1, 4], sync))
    assert [one.kind for one in found] == ["missing runs"]
    assert "2 trials (1, 4)" in str(found[0])
    assert found[0].mend is not None
    assert found[0].mend() == "2 runs written"
    assert asked == ["small"]
    assert examine(kept, "small", MlflowMirror(lambda history: [], sync)) == ()


def test_mlflow_is_told_what_was_mended(wreck: Workspace) -> None:
    told: list[SweepHistory] = []

    def sync(history: SweepHistory) -> int:
        told.append(history)
        return 1

    found = examine(wreck, "small", MlflowMirror(missing=lambda history: (), sync=sync))
    assert found[-1].kind == "missing runs", "its run says running, and nobody runs it"
    for one in found:
        assert one.mend is not None
        one.mend()
    assert [history.state for history in told] == ["interrupted"]
    assert told[0].trials[0].outcome is OutcomeKind.INTERRUPTED
