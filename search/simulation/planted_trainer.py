"""A simulated trainer with planted faults and with checkpoints on disk: for testing runners and drivers."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.loop.prefix import TrainedEpoch, address, retrace
from lossweep.trainers.plan import TrialPlan


@dataclass(frozen=True, slots=True)
class PlantedTrainer:
    """A `trainers.trial.TrialTrainer` that keeps a history on disk as the real one does, and dies as told.

    What is really done leaves its lines in a `search.simulation.training_log.TrainingLog`, so that a test can
    tell whether anything was trained twice. As with the real trainer, the history is on disk before the
    evaluation is reported, and is that of whichever trial begins alike.

    Attributes:
        folder: for histories and the log; shared by all workers.
        delay: seconds an epoch takes.
        planted: faults by trial number: ``exception``, ``memory`` (until the micro-batch is smaller) and
            ``diverge`` as in `SimulatedTrainer`; half-way through the trial ``disk`` (the disk is full, until
            the file ``roomy`` stands in the folder) and, once, ``device`` (the process has lost its GPU),
            ``kill`` (it kills itself), ``stop`` (it stops itself), ``sleep`` and ``loop`` (neither ends).
        simulated: where the figures come from.
        writing: seconds a checkpoint takes to write.
    """

    folder: Path
    delay: float = 0.0
    planted: Mapping[int, str] = field(default_factory=dict)
    simulated: SimulatedTrainer = field(default_factory=SimulatedTrainer)
    writing: float = 0.0

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Train one trial, going on where its prefix's history ends; the recorded evaluations come first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = TrainingLog(self.folder)
        attempt = log.begin(plan.number)
        history = self._history(plan)
        yield from (epoch.evaluation for epoch in history if epoch.evaluation)
        inner = replace(self.simulated, planted=self.planted)
        cursor = ScheduleCursor.start(plan.schedule)
        for index, evaluation in enumerate(inner.trial(plan)):
            now, cursor = cursor, cursor.advance(evaluation.metrics) if evaluation.metrics else cursor
            if index < len(history):
                continue
            time.sleep(self.delay)
            own = TrainedEpoch(identity(now.current), now.epochs_in_phase, evaluation, plan.number)
            history.append(own)
            prefix = _name(plan, history)
            log.note("trained", plan.number, evaluation.epoch, attempt, prefix)
            if evaluation.epoch == 1 + plan.epochs // 2:
                self._fault(plan.number)
            if evaluation.verdict is None:  # as the real trainer keeps nothing of what has diverged
                self._save(prefix, history)
                log.note("saved", plan.number, evaluation.epoch, attempt, prefix)
            yield evaluation

    def _fault(self, number: int) -> None:
        fault = self.planted.get(number, "")
        if fault == "disk" and not (self.folder / "roomy").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        mark = self.folder / f"{number}.{fault}"
        if fault in _ONCE and not mark.exists():
            mark.touch()
            _ONCE[fault]()

    def _history(self, plan: TrialPlan) -> list[TrainedEpoch]:
        """The longest that was trained of what this trial begins with; as it would have written it."""
        cursor, past, found = ScheduleCursor.start(plan.schedule), [], []
        for evaluation in replace(self.simulated, exceptions=0.0, memory_faults=0.0).trial(plan):
            past.append(TrainedEpoch(identity(cursor.current), cursor.epochs_in_phase, evaluation, -1))
            cursor = cursor.advance(evaluation.metrics)
            with suppress(FileNotFoundError):
                text = (self.folder / f"{_name(plan, past)}.json").read_text(encoding="utf-8")
                found = [TrainedEpoch.from_dict(epoch) for epoch in json.loads(text)]
        retraced = retrace(plan, found)
        return list(retraced[1]) if retraced else []

    def _save(self, name: str, history: list[TrainedEpoch]) -> None:
        beside = self.folder / f"{name}.{os.getpid()}.writing"
        text = json.dumps([one.to_dict() for one in history])
        with beside.open("w", encoding="utf-8") as file:
            file.write(text[: len(text) // 2])
            if self.writing:
                file.flush()
                time.sleep(self.writing)
            file.write(text[len(text) // 2 :])
        beside.replace(self.folder / f"{name}.json")


def _name(plan: TrialPlan, history: Sequence[TrainedEpoch]) -> str:
    """Of a trained prefix: its trainings have one seed."""
    return f"{plan.seed}-{len(history)}-{address(history)}"


def _loop() -> None:
    while True:
        pass


def _lose_device() -> None:
    raise RuntimeError("CUDA error: device-side assert triggered")


_ONCE: Mapping[str, Callable[[], None]] = {
    "device": _lose_device,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "sleep": lambda: time.sleep(3600.0),
    "loop": _loop,
}
"""Faults that a process meets once, or that its trial is never done with."""
