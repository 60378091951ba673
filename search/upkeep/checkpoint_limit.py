"""Keeps a running sweep's checkpoints below a size, by forgetting what is least likely to be extended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from lossweep.search.ledger import Ledger
from lossweep.search.study.events import Event, TrialEnded
from lossweep.search.study.history import SweepHistory
from lossweep.search.upkeep.checkpoints import Cleared, all_checkpoints, needed_trials, prefixes_of
from lossweep.search.workspace import Workspace

if TYPE_CHECKING:
    from lossweep.trainers.loop.checkpoints import Checkpoint

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 60.0
LEADERS: Final = 5
"""So many of the best trials keep all of theirs."""
DOWN_TO: Final = 0.9
"""Of the limit: so much is left when something has to go, so that it need not go one by one."""


class CheckpointLimit:
    """A listener that looks at the sweep's checkpoints now and then, in a thread of its own.

    Args:
        workspace: where they lie.
        name: of the sweep.
        gib: what they may take.
        clock: seconds.
    """

    def __init__(
        self, workspace: Workspace, name: str, gib: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._name, self._bytes, self._clock = workspace, name, int(gib * 2**30), clock
        self._looked = clock()
        self._thread = ThreadPoolExecutor(1, "checkpoint-limit")
        self._look: Future[None] | None = None

    def handle(self, event: Event) -> None:
        """Look again when a trial has ended, unless that was just done."""
        due = self._clock() - self._looked >= LOOK_EVERY_S
        if isinstance(event, TrialEnded) and due and (self._look is None or self._look.done()):
            self._looked = self._clock()
            self._look = self._thread.submit(self._keep)

    def close(self) -> None:
        """Look a last time."""
        self._thread.submit(self._keep).result()
        self._thread.shutdown()

    def _keep(self) -> None:
        try:
            ledger = Ledger(self._workspace.database_url, read_only=True)
            try:
                history = ledger.history(self._name)
            finally:
                ledger.close()
            gone = forget(self._workspace, history, self._bytes)
        except Exception:  # the store may be away; trials wait for it, and say so
            log.warning("The checkpoints of %s could not be looked through.", self._name, exc_info=True)
            return
        if gone.files:
            log.info("Forgot %s, to stay below %.3g GiB.", gone, self._bytes / 2**30)


def forget(workspace: Workspace, history: SweepHistory, limit: int) -> Cleared:
    """Delete checkpoints until they take no more than a limit, if they do now.

    Those of unfinished trials stay, of the best trials, of the control and of whatever an export is of, even
    above the limit. Of the others, first go those whose trials scored worst, then those that fewer trials
    went through, then the longer ones, which fewer schedules begin with, then the older ones.

    Args:
        workspace: where.
        history: of the sweep, as it stands.
        limit: bytes.
    """
    whole = all_checkpoints(workspace, history.name)
    total = sum(one.bytes for one in whole)
    if total <= limit:
        return Cleared(0, 0, len(whole), total)
    needed = needed_trials(history, LEADERS)
    kept: set[str] = set()
    through: dict[str, list[int]] = {}
    worth = {trial.number: place for place, trial in enumerate(reversed(history.ranked()))}
    for trial in history.recorded:
        for name in prefixes_of(trial):
            through.setdefault(name, []).append(worth.get(trial.number, -1))
            if trial.number in needed:
                kept.add(name)
    known = {trial.number for trial in history.recorded}

    def may_go(one: Checkpoint) -> bool:
        # What no trial is recorded to have reached is a running one's newest, written a moment ago.
        return one.name in through and one.name not in kept and one.history[-1].trained_by in known

    candidates = sorted(
        (one for one in whole if may_go(one)),
        key=lambda one: (max(through[one.name]), len(through[one.name]), -len(one.history)),
    )
    left, gone = total, []
    for one in candidates:
        if left <= DOWN_TO * limit:
            break
        one.path.unlink(missing_ok=True)
        gone.append(one)
        left -= one.bytes
    return Cleared(len(gone), total - left, len(whole) - len(gone), left)
