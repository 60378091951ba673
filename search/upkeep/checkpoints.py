"""Which checkpoints belong to which trial of a sweep, and which may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.lease import Lease
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import ranked
from lossweep.search.verdicts.result import verdict_of
from lossweep.search.workspace import Workspace

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


def checkpoints_of(workspace: Workspace, sweep: str, number: int) -> tuple[Path, ...]:
    """The checkpoints that a trial wrote, shortest training first."""
    mine = [one for one in _all(workspace, sweep) if _trial_of(one) == number]
    return tuple(one.path for one in sorted(mine, key=lambda one: len(one.history)))


def gc(workspace: Workspace, name: str, *, leaders: int = 3, dry_run: bool = False) -> Cleared:
    """Delete the checkpoints of a sweep that no leader needs.

    Kept are those of `needed_trials`. Torn files go.

    Raises:
        UserError: when there is no such sweep.
        LeaseHeld: while a driver runs it.
    """
    ledger = Ledger(workspace.database_url)
    try:
        ledger.sweep(name)
        # Under the lease, so that no trial starts between looking and deleting.
        with Lease(ledger, name, lambda reason, kind: None):
            return _clear(workspace, ledger.history(name), leaders, dry_run)
    finally:
        ledger.close()


def _clear(workspace: Workspace, history: SweepHistory, leaders: int, dry_run: bool) -> Cleared:
    needed = needed_trials(history, leaders)
    whole = _all(workspace, history.name)
    kept = [one for one in whole if _trial_of(one) in needed]
    gone = [one for one in whole if _trial_of(one) not in needed]
    freed = sum(one.bytes for one in gone)
    if not dry_run:
        from lossweep.trainers.loop.checkpoints import CheckpointStore

        freed = CheckpointStore(workspace.checkpoints(history.name)).gc(0, keep=[one.path for one in kept])
    return Cleared(len(gone), freed, len(kept), sum(one.bytes for one in kept))


def needed_trials(history: SweepHistory, leaders: int) -> frozenset[int]:
    """Trials whose checkpoints stay: unfinished ones, the best, and the control they are compared with.

    Of a confirmation the trainings that `export` may write the weights of: one each of the control, of the
    leaders, of the arm of the best mean, and of the simplest that cannot be told from it.
    """
    unfinished = [trial.number for trial in history.recorded if not trial.outcome.is_final]
    best = [trial.number for trial in history.ranked()[:leaders]]
    control = history.control()
    compared = [control.number] if control is not None else []
    return frozenset([*unfinished, *best, *compared, *_confirmed(history)])


def _confirmed(history: SweepHistory) -> Iterator[int]:
    """Of each arm that may be exported, the training of the median validation score.

    Not the luckiest seed: that would be chosen for its luck.
    """
    if (confirmation := history.confirmation) is None:
        return
    arms = [confirmation.plan.control, *confirmation.plan.leaders]
    if (verdict := verdict_of(history)) is not None:
        arms += [verdict.best.arm, verdict.simplest.arm]
    for schedule in dict.fromkeys(arm.schedule for arm in arms):
        done = [t for t in confirmation.of(schedule).values() if t.outcome is OutcomeKind.COMPLETED]
        ordered = ranked(done, history.direction)[::-1]
        yield from (trial.number for trial in ordered[(len(ordered) - 1) // 2 :][:1])


def _all(workspace: Workspace, sweep: str) -> tuple[Checkpoint, ...]:
    from lossweep.trainers.loop.checkpoints import CheckpointStore

    return CheckpointStore(workspace.checkpoints(sweep)).list()


def _trial_of(checkpoint: Checkpoint) -> int:
    """The trial that wrote it: the one that trained its last epoch."""
    return checkpoint.history[-1].trained_by


def orphans(workspace: Workspace, sweep: str, known: set[int]) -> tuple[Path, ...]:
    """Files among a sweep's checkpoints that are torn, half written, or of trials it does not have."""
    folder = workspace.checkpoints(sweep)
    if not folder.is_dir():
        return ()
    owned = {one.path for one in _all(workspace, sweep) if _trial_of(one) in known}
    return tuple(sorted(path for path in folder.glob("*/*") if path.is_file() and path not in owned))
