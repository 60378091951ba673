"""The inline runner: trials in this process, by the same dispatcher and conductor as on Ray."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.study.faults import Fault
from lossweep.trainers.evaluation import Evaluation

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from lossweep.trainers.trial import TrialTrainer


@dataclass(order=True, slots=True)
class _Slot:
    """One of the trials side by side. ``busy_until`` is in the seconds that its evaluations say they took."""

    busy_until: float
    index: int
    attempt: str = field(default="", compare=False)
    trial: int = field(default=0, compare=False)
    stream: Iterator[Evaluation] | None = field(default=None, compare=False)
    evaluation: Evaluation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class InlineRunner:
    """Steps trials in this process.

    With several slots, trials are interleaved by the seconds their evaluations report: whichever would be
    done first reports first. So pruning and proposing meet other trials half-way, as they do on a cluster,
    yet every run is the same.

    Attributes:
        slots: trials side by side.
        fault_of: tells the kind of an exception.
    """

    slots: int = 1
    fault_of: Callable[[BaseException], Fault] = Fault.of

    def run(self, dispatcher: Dispatcher, trainer: TrialTrainer) -> None:
        """Train until the dispatcher hands out nothing more.

        Raises:
            SweepFailed: when the first trials all fail alike.
        """
        prepared = False
        busy: list[_Slot] = []
        free = [_Slot(0.0, index) for index in range(self.slots)]
        now = 0.0
        trained: dict[int, int] = {}
        try:
            while True:
                while free and (assignment := dispatcher.next()) is not None:
                    dispatcher.began(assignment.attempt)
                    if not prepared:
                        trainer.prepare()
                        prepared = True
                    slot = free.pop(0)
                    slot.attempt, slot.busy_until = assignment.attempt, now
                    slot.trial = assignment.plan.number
                    slot.stream = iter(trainer.trial(assignment.plan))
                    self._train_to_next_evaluation(slot, dispatcher, busy, free, trained)
                if not busy:
                    return
                slot = heapq.heappop(busy)
                now = slot.busy_until
                assert slot.evaluation is not None
                if dispatcher.evaluated(slot.attempt, slot.evaluation):
                    self._train_to_next_evaluation(slot, dispatcher, busy, free, trained)
                else:
                    _end_training(slot)
                    free.append(slot)
        finally:
            for slot in busy:
                _end_training(slot)

    def _train_to_next_evaluation(
        self,
        slot: _Slot,
        dispatcher: Dispatcher,
        busy: list[_Slot],
        free: list[_Slot],
        trained: dict[int, int],
    ) -> None:
        """Train up to the next evaluation, which is reported when its seconds are over.

        What a trial that goes on reports again was trained before, and takes none: ``trained`` holds how many
        steps each trial has behind it.
        """
        assert slot.stream is not None
        try:
            slot.evaluation = next(slot.stream, None)
        except Exception as error:
            free.append(slot)
            dispatcher.faulted(slot.attempt, self.fault_of(error))
            return
        if slot.evaluation is None:
            free.append(slot)
            dispatcher.ended(slot.attempt)
            return
        if slot.evaluation.step > trained.get(slot.trial, -1):
            trained[slot.trial] = slot.evaluation.step
            slot.busy_until += slot.evaluation.seconds
        heapq.heappush(busy, slot)


def _end_training(slot: _Slot) -> None:
    close = getattr(slot.stream, "close", None)
    if close is not None:
        close()
    slot.stream = None
