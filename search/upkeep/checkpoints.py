"""Which checkpoints belong to which trial of a sweep, and which may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossweep.search.exporting.choice import exportable
from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.workspace import Workspace
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.loop.checkpoint_storage import Place, check_reachable
from lossweep.trainers.loop.prefix import TrainedEpoch, address

if TYPE_CHECKING:
    from lossweep.trainers.loop.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a clearing did, or would do.

    Attributes:
        files: checkpoints deleted.
        bytes: their size.
        kept_files: checkpoints left.
        kept_bytes: their size.
    """

    files: int
    bytes: int
    kept_files: int
    kept_bytes: int

    def __str__(self) -> str:
        freed, kept = self.bytes / 2**20, self.kept_bytes / 2**20
        return f"{self.files} checkpoints, {freed:.1f} MiB; {self.kept_files} kept, {kept:.1f} MiB"


def checkpoints_of(workspace: Workspace, sweep: str, number: int) -> tuple[Place, ...]:
    """The checkpoints that a trial wrote, shortest training first."""
    mine = [one for one in all_checkpoints(workspace, sweep) if _trial_of(one) == number]
    return tuple(one.path for one in sorted(mine, key=lambda one: len(one.history)))


def gc(workspace: Workspace, name: str, *, leaders: int = 3, dry_run: bool = False) -> Cleared:
    """Delete the checkpoints of a sweep that no leader needs.

    Kept are those of unfinished trials, of the ``leaders`` best trials, of the control and of what an export
    takes. Torn files go.

    Raises:
        UserError: when there is no such sweep.
        LeaseHeld: while a driver runs it, unless it is a ``dry_run``.
    """
    ledger = Ledger(workspace.database_url, read_only=dry_run)
    try:
        ledger.sweep(name)
        if dry_run:
            return _clear(workspace, ledger.history(name), leaders, dry_run)
        # Under the lease, so that no trial starts between looking and deleting.
        with Lease(ledger, name, lambda reason, kind: None):
            return _clear(workspace, ledger.history(name), leaders, dry_run)
    finally:
        ledger.close()


def _clear(workspace: Workspace, history: SweepHistory, leaders: int, dry_run: bool) -> Cleared:
    needed = needed_trials(history, leaders)
    whole = all_checkpoints(workspace, history.name)
    # What a leader went through may have been trained, and written, by another trial.
    through = {name for trial in history.recorded if trial.number in needed for name in prefixes_of(trial)}
    kept = [one for one in whole if _trial_of(one) in needed or one.name in through]
    gone = [one for one in whole if one not in kept]
    freed = sum(one.bytes for one in gone)
    if not dry_run:
        from lossweep.trainers.loop.checkpoints import CheckpointStore

        freed = CheckpointStore(workspace.checkpoints(history.name)).gc(0, keep=[one.path for one in kept])
    return Cleared(len(gone), freed, len(kept), sum(one.bytes for one in kept))


def needed_trials(history: SweepHistory, leaders: int) -> frozenset[int]:
    """Trials whose checkpoints stay: unfinished ones, the best, the control, and what an export is of."""
    open_ones = [trial for trial in history.recorded if not trial.outcome.is_final]
    # What tries a failed trial again, or extends one, goes on from where that one stood.
    theirs = [n for trial in open_ones for n in (trial.number, trial.retries, trial.extends)]
    unfinished = [number for number in theirs if number is not None]
    exported = [trial.number for trial in exportable(history)]
    best = [trial.number for trial in history.ranked()[:leaders]]
    control = history.control()
    return frozenset([*unfinished, *best, *exported, *([control.number] if control is not None else [])])


def prefixes_of(trial: TrialHistory) -> Iterator[str]:
    """The names of the prefixes that a trial went through, whoever trained them."""
    evaluations = {evaluation.epoch: evaluation for evaluation in trial.evaluations if evaluation.epoch}
    if not evaluations:
        return
    cursor, past = ScheduleCursor.start(trial.schedule, trial.evaluations[-1].epochs), list[TrainedEpoch]()
    for epoch in range(1, trial.epochs + 1):
        evaluation = evaluations.get(epoch)
        phase = identity(cursor.current, trial.code)
        past.append(TrainedEpoch(phase, cursor.epochs_in_phase, evaluation, trial.number))
        if evaluation is not None:
            yield address(past)
        cursor = cursor.advance(evaluation.metrics if evaluation is not None else None)


def all_checkpoints(workspace: Workspace, sweep: str) -> tuple[Checkpoint, ...]:
    """Every whole checkpoint of a sweep, least recently written first."""
    from lossweep.trainers.loop.checkpoints import CheckpointStore

    place = workspace.checkpoints(sweep)
    check_reachable(place)  # a command says what is wrong, where a trial would wait
    return CheckpointStore(place).list()


def _trial_of(checkpoint: Checkpoint) -> int:
    """The trial that wrote it: the one that trained its last epoch."""
    return checkpoint.history[-1].trained_by


def orphans(workspace: Workspace, sweep: str, known: set[int]) -> tuple[Place, ...]:
    """Files among a sweep's checkpoints that are torn, half written, or of trials it does not have."""
    folder = workspace.checkpoints(sweep)
    check_reachable(folder)
    if not folder.is_dir():
        return ()
    owned = {one.path for one in all_checkpoints(workspace, sweep) if _trial_of(one) in known}
    return tuple(sorted(path for path in folder.glob("*/*") if path.is_file() and path not in owned))
