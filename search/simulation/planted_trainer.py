"""A simulated trainer with planted faults and with checkpoints on disk: for testing runners and drivers."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.training_log import TrainingLog
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan


@dataclass(frozen=True, slots=True)
class PlantedTrainer:
    """A `trainers.trial.TrialTrainer` that keeps a history on disk as the real one does, and dies as told.

    What is really done leaves its lines in a `search.simulation.training_log.TrainingLog`, so that a test can
    tell whether anything was trained twice. As with the real trainer, the history is on disk before the
    evaluation is reported.

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
        """Train one trial, going on where its history ends; the recorded evaluations come first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = TrainingLog(self.folder)
        attempt = log.begin(plan.number)
        history = self._history(plan.number)
        yield from history
        inner = replace(self.simulated, planted=self.planted)
        for index, evaluation in enumerate(inner.trial(plan)):
            if index < len(history):
                continue
            time.sleep(self.delay)
            log.note("trained", plan.number, evaluation.epoch, attempt)
            if evaluation.epoch == 1 + plan.epochs // 2:
                self._fault(plan.number)
            history.append(evaluation)
            self._save(plan.number, history)
            log.note("saved", plan.number, evaluation.epoch, attempt)
            yield evaluation

    def _fault(self, number: int) -> None:
        fault = self.planted.get(number, "")
        if fault == "disk" and not (self.folder / "roomy").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        mark = self.folder / f"{number}.{fault}"
        if fault in _ONCE and not mark.exists():
            mark.touch()
            _ONCE[fault]()

    def _history(self, number: int) -> list[Evaluation]:
        try:
            text = (self.folder / f"{number}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [Evaluation.from_dict(data) for data in json.loads(text)]

    def _save(self, number: int, history: list[Evaluation]) -> None:
        beside = self.folder / f"{number}.{os.getpid()}.writing"
        text = json.dumps([one.to_dict() for one in history])
        with beside.open("w", encoding="utf-8") as file:
            file.write(text[: len(text) // 2])
            if self.writing:
                file.flush()
                time.sleep(self.writing)
            file.write(text[len(text) // 2 :])
        beside.replace(self.folder / f"{number}.json")


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
