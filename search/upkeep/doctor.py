"""Finds what crashes left behind, and mends it: nothing here is needed by a sweep that ended well."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease, holder_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.search.study.record import StudyRecord, outcome_of
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.upkeep.checkpoints import orphans
from lossweep.search.workspace import Workspace
from lossweep.spaces.files.errors import UserError, one_line
from lossweep.trainers.loop.checkpoint_storage import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        sweep: the sweep concerned.
        kind: ``zombie``, ``stale state``, ``stale lease``, ``orphan checkpoints``, ``missing runs``,
            ``left over``, ``unreadable`` or, of a home, ``moved home``.
        message: what, in one line.
        mend: does away with it and says what it did. Safe to call twice. None when only a person can.
    """

    sweep: str
    kind: str
    message: str
    mend: Callable[[], str] | None

    def __str__(self) -> str:
        return one_line(f"{self.sweep}: {self.kind}: {self.message}")


@dataclass(frozen=True, slots=True)
class MlflowMirror:
    """MLflow, where the sweep is shown a second time, as the layer above reaches it.

    Attributes:
        missing: numbers of the trials that have no run, or another state there.
        sync: makes MLflow equal the sweep; returns how many runs it changed.
        moved: where the home lay, as MLflow still has it, when it was moved or copied.
        settle: lets MLflow know where the home lies now.
    """

    missing: Callable[[SweepHistory], Sequence[int]]
    sync: Callable[[SweepHistory], int]
    moved: Callable[[], Path | None] = lambda: None
    settle: Callable[[], None] = lambda: None


def examine(
    workspace: Workspace, name: str | None = None, mlflow: MlflowMirror | None = None
) -> tuple[Finding, ...]:
    """Look at one sweep or at all, changing nothing. Sweeps that a living driver has are left alone.

    Raises:
        UserError: when there is no sweep of that name.
    """
    ledger = Ledger(workspace.database_url, read_only=True)
    try:
        if name is not None and name not in ledger.names():
            ledger.sweep(name)  # raises, with the nearest name
        found: list[Finding] = []
        if mlflow is not None and (before := mlflow.moved()) is not None:
            found.append(_moved(workspace, before, mlflow))
        for one in ledger.names() if name is None else (name,):
            try:
                found += _sweep(workspace, ledger, one, mlflow)
            except UserError as error:  # what is wrong with the others is no less worth saying
                found.append(Finding(one, "unreadable", str(error), None))
        if name is None:
            found += _ownerless(workspace, set(ledger.names()))
        return tuple(found)
    finally:
        ledger.close()


def _sweep(workspace: Workspace, ledger: Ledger, name: str, mlflow: MlflowMirror | None) -> Iterator[Finding]:
    holder, in_force = holder_of(ledger, name)
    if in_force:
        return
    history = ledger.history(name, as_written=True)
    if holder is not None:
        yield Finding(
            name, "stale lease", f"held by {holder}, which is gone", lambda: _release(workspace, name)
        )
    zombies = [trial.number for trial in history.recorded if trial.outcome is OutcomeKind.RUNNING]
    if zombies:
        message = f"{_trials(zombies)} marked running, but no driver runs them"
        yield Finding(name, "zombie", message, lambda: _interrupt(workspace, name))
    if history.state is SweepState.RUNNING:
        message = "marked running, but no driver runs it"
        yield Finding(name, "stale state", message, lambda: _interrupted(workspace, name))
    known = {trial.number for trial in history.recorded}
    if lost := orphans(workspace, name, known):
        size = sum(path.stat().st_size for path in lost) / 2**20
        message = f"{len(lost)} files, {size:.1f} MiB, torn or of no trial"
        yield Finding(name, "orphan checkpoints", message, lambda: _delete(lost))
    if left := sorted(workspace.logs(name).glob("tune-*")):
        yield Finding(name, "left over", f"{len(left)} folders of Ray Tune", lambda: _delete(left))
    if mlflow is None:
        return
    # What was found above is written there likewise, once it is mended.
    missing = sorted({*mlflow.missing(history), *zombies})
    if missing or history.state is SweepState.RUNNING:
        whose = f"{_trials(missing)} without a run" if missing else "its own run is not one"
        message = f"{whose} in MLflow that says the same"
        yield Finding(
            name, "missing runs", message, lambda: f"{_shown(workspace, name, mlflow)} runs written"
        )


def _moved(workspace: Workspace, before: Path, mlflow: MlflowMirror) -> Finding:
    def mend() -> str:
        mlflow.settle()
        return f"MLflow's artifacts are those in {workspace.artifacts}"

    message = f"the home was moved or copied: MLflow would write its artifacts into {before}"
    return Finding(workspace.root.name, "moved home", message, mend)


def _ownerless(workspace: Workspace, known: set[str]) -> Iterator[Finding]:
    folder = workspace.root / "checkpoints"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name not in known:
            message = f"{path} belongs to no sweep of this database"
            yield Finding(path.name, "orphan checkpoints", message, functools.partial(_delete, [path]))


def _release(workspace: Workspace, name: str) -> str:
    ledger = Ledger(workspace.database_url)
    try:
        _, token, _ = ledger.read_lease(name)
        _, in_force = holder_of(ledger, name)
        if not in_force:
            ledger.swap_lease(name, token, None, None)
        return "released"
    finally:
        ledger.close()


def _interrupt(workspace: Workspace, name: str) -> str:
    ledger = Ledger(workspace.database_url)
    try:
        with Lease(ledger, name, lambda reason, kind: None):
            record = StudyRecord(optuna.load_study(study_name=name, storage=ledger.storage))
            running = [t.number for t in record.trials() if outcome_of(t).kind is OutcomeKind.RUNNING]
            for number in running:
                record.interrupt(number, Outcome(OutcomeKind.INTERRUPTED, "its driver died"))
        return f"{_trials(running)} marked interrupted; resume goes on with them"
    finally:
        ledger.close()


def _interrupted(workspace: Workspace, name: str) -> str:
    ledger = Ledger(workspace.database_url)
    try:
        if ledger.sweep(name).state is SweepState.RUNNING and not holder_of(ledger, name)[1]:
            ledger.enter(name, SweepState.INTERRUPTED, "its driver died")
        return f"marked interrupted; go on with: lossweep resume {name}"
    finally:
        ledger.close()


def _shown(workspace: Workspace, name: str, mlflow: MlflowMirror) -> int:
    ledger = Ledger(workspace.database_url)
    try:
        history = ledger.history(name)  # anew: what was mended before this has changed it
    finally:
        ledger.close()
    return mlflow.sync(history)


def _delete(paths: Sequence[Place]) -> str:
    for path in paths:
        if isinstance(path, Path) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return f"{len(paths)} deleted"


def _trials(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"{len(numbers)} trial{'s' * (len(numbers) != 1)} ({shown})"
