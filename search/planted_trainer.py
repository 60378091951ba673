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

from search.simulated_trainer import SimulatedTrainer
from trainers.evaluation import Evaluation
from trainers.plan import TrialPlan


@dataclass(frozen=True, slots=True)
class PlantedTrainer:
    """A `trainers.trial.TrialTrainer` that keeps a history on disk as the real one does, and dies as told.

    Every epoch that is really trained leaves a line in ``trained.log``, so that a test can tell whether any
    was trained twice. As with the real trainer, the history is on disk before the evaluation is reported.

    Attributes:
        folder: for histories and the log; shared by all workers.
        delay: seconds an epoch takes.
        planted: faults by trial number: ``exception``, ``memory`` (until the micro-batch is smaller) and
            ``diverge`` as in `SimulatedTrainer`; ``kill`` (the process kills itself, once) and ``disk`` (the
            disk is full, until the file ``roomy`` stands in the folder) half-way through the trial.
        simulated: where the figures come from.
    """

    folder: Path
    delay: float = 0.0
    planted: Mapping[int, str] = field(default_factory=dict)
    simulated: SimulatedTrainer = field(default_factory=SimulatedTrainer)

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan, should_stop: Callable[[], bool]) -> Iterator[Evaluation]:
        """Train one trial, going on where its history ends; the recorded evaluations come first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        history = self._history(plan.number)
        yield from history
        inner = replace(self.simulated, planted=self.planted)
        for index, evaluation in enumerate(inner.trial(plan, should_stop)):
            if index < len(history):
                continue
            time.sleep(self.delay)
            self._note(plan.number, evaluation.epoch)
            if evaluation.epoch == 1 + plan.epochs // 2:
                self._fault(plan.number)
            history.append(evaluation)
            self._save(plan.number, history)
            yield evaluation

    def _fault(self, number: int) -> None:
        fault = self.planted.get(number)
        if fault == "kill":
            mark = self.folder / f"{number}.killed"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if fault == "disk" and not (self.folder / "roomy").exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    def _history(self, number: int) -> list[Evaluation]:
        try:
            text = (self.folder / f"{number}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [Evaluation.from_dict(data) for data in json.loads(text)]

    def _save(self, number: int, history: list[Evaluation]) -> None:
        beside = self.folder / f"{number}.{os.getpid()}.writing"
        beside.write_text(json.dumps([one.to_dict() for one in history]), encoding="utf-8")
        beside.replace(self.folder / f"{number}.json")

    def _note(self, number: int, epoch: int) -> None:
        line = f"{number} {epoch} {os.getpid()}\n".encode()
        descriptor = os.open(self.folder / "trained.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def trained(folder: Path) -> list[tuple[int, int]]:
    """The epochs that were really trained, as (trial, epoch), in order."""
    try:
        lines = (folder / "trained.log").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    return [(int(number), int(epoch)) for number, epoch, _ in map(str.split, lines)]
