"""Evaluations that wait for their checkpoints: a thread writes them, and training goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.prefix import TrainedEpoch
from lossweep.trainers.loop.snapshots import Snapshot
from lossweep.trainers.loop.wall_time import CHECKPOINT, WAITING, WallTime


class Outbox:
    """Holds an evaluation back until its checkpoint is whole on the disk.

    Whoever is told an evaluation may rely on its checkpoint: a study never records what would have to be
    trained again after a kill, which on a GPU may end with other figures. Training need not stand still for
    that. One evaluation is held back at a time, so that memory is bounded by one copy of the state.

    Args:
        store: where checkpoints are kept; None keeps none.
        context: of the training.
        spent: of the trial.
        branches: `trainers.plan.TrialPlan.branch_epochs`.
    """

    def __init__(
        self,
        store: CheckpointStore | None,
        context: str,
        spent: WallTime,
        branches: Collection[int] = (),
    ) -> None:
        self._store, self._context, self._spent, self._branches = store, context, spent, branches
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._held: tuple[Evaluation, Future[None] | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being written."""
        self._writer.shutdown()

    @property
    def ready(self) -> bool:
        """Whether an evaluation is held back no longer."""
        return self._held is not None and (self._held[1] is None or self._held[1].done())

    def put(
        self, evaluation: Evaluation, history: Sequence[TrainedEpoch], state: Mapping[str, Any] | None
    ) -> None:
        """Take an evaluation, and start to write its checkpoint.

        Args:
            evaluation: the newest; the one before was handed out.
            history: what was trained, up to this evaluation.
            state: all that later epochs depend on, copied before this returns; None when it is not kept.
        """
        assert self._held is None
        writing = None
        if self._store is not None and state is not None:
            with self._spent.on(CHECKPOINT):
                writing = self._writer.submit(self._write, self._store, tuple(history), Snapshot(state))
        self._held = evaluation, writing

    def handed_out(self) -> Iterator[Evaluation]:
        """Yield the evaluation that is held back, if there is one, when its checkpoint is whole.

        Raises:
            CheckpointDiskFull: it could not be written; so the evaluation is not told.
        """
        if self._held is None:
            return
        (evaluation, writing), self._held = self._held, None
        if writing is not None:
            with self._spent.on(CHECKPOINT):
                writing.result()
        with self._spent.on(WAITING):
            yield evaluation

    def _write(self, store: CheckpointStore, history: Sequence[TrainedEpoch], snapshot: Snapshot) -> None:
        store.save(self._context, history, snapshot.state())
        store.thin(self._context, history, branches=self._branches)
