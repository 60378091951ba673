"""A trainer in which everything goes wrong that can: real exceptions, real guards, a really killed worker."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards import build_guards
from lossweep.trainers.loop.memory import OutOfMemory
from lossweep.trainers.plan import TrialPlan

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
HALF = 2
"""The epoch in which a fault strikes."""


@dataclass(frozen=True, slots=True)
class FaultyTrainer:
    """Trains nothing, and keeps a history on disk as the real trainer does.

    What is planted is the cause alone; what follows is what it would be in a training:

    - ``nan``: loss and gradient norm are NaN; the trial's real guards are shown them and give the verdict.
    - ``collapse``: nothing is predicted as foreground any more; likewise.
    - ``exception``: a user's loss raises, each time.
    - ``memory``: the trainer's own `OutOfMemory`, until the micro-batch is halved; ``no memory``: also then.
    - ``killed``: the worker's process gets a SIGKILL, once; ``killed again``: each time.
    - ``poor``: an honest, hopeless trial, for the pruner.

    Attributes:
        folder: seen by all workers.
        planted: by trial number.
    """

    folder: Path
    planted: Mapping[int, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Train one trial, going on where its history ends."""
        fault = self.planted.get(plan.number, "")
        guards = build_guards(plan.guards, PRIOR)
        for evaluation in PlantedTrainer(self.folder).trial(plan):
            struck = evaluation.epoch >= HALF
            if struck:
                self._strike(fault, plan)
            bad = math.nan if struck and fault == "nan" else 0.5
            seen = replace(evaluation, metrics=_metrics(evaluation, fault, struck), gradient_norm=bad)
            verdict = guards.on_step(seen.step, bad, bad) or guards.on_evaluation(seen)
            yield replace(seen, verdict=verdict)
            if verdict is not None:
                return

    def _strike(self, fault: str, plan: TrialPlan) -> None:
        whole = plan.micro_batch is None or plan.micro_batch >= plan.training.batch
        if fault == "exception":
            raise IndexError("class 7 is out of bounds")
        if fault == "no memory" or (fault == "memory" and whole):
            batch = plan.micro_batch or plan.training.batch
            raise OutOfMemory(f"no memory for a micro-batch of {batch}", batch)
        mark = self.folder / f"{plan.number}.killed"
        if fault == "killed again" or (fault == "killed" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _metrics(evaluation: Evaluation, fault: str, struck: bool) -> dict[str, float]:
    """Good figures, the same for all trials, so that only the poor one is the pruner's."""
    if struck and fault == "nan":
        return dict.fromkeys(evaluation.metrics, math.nan)
    if struck and fault == "collapse":
        return dict.fromkeys(evaluation.metrics, 0.0) | {"ap": PRIOR.foreground}
    level = 0.05 if fault == "poor" else 0.5
    return dict.fromkeys(evaluation.metrics, level)
