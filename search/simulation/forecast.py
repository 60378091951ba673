"""What a sweep will cost before it starts: its epochs by simulation, their time by a short calibration."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import optuna

from lossweep.search.conducting.conductor import Conductor
from lossweep.search.conducting.plans import template_of
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.driver import settings_of
from lossweep.search.running.inline import InlineRunner
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.study.epochs import Epochs
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metric_names import OWN
from lossweep.spaces.schedules.controls import plain

if TYPE_CHECKING:  # it pulls torch in, which a simulation does without
    from lossweep.search.running.task import TrainingTask

SLOTS: Final = 4
"""Trials side by side in a simulation, where the sweep doesn't say."""
SECONDS: Final = 5.0
"""Of the calibration."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The epochs of a simulated sweep.

    Attributes:
        name: of the sweep.
        trials: of the search.
        at_most: epochs, were every trial of the search trained to its end, or those of a refilled budget.
        search: the epochs of the search.
        confirmation: those of the confirmation; None where the sweep asks for none.
    """

    name: str
    trials: int
    at_most: int
    search: Epochs
    confirmation: Epochs | None

    @property
    def trained(self) -> int:
        """Epochs to train in all."""
        return self.search.trained + (self.confirmation.trained if self.confirmation else 0)

    def __str__(self) -> str:
        search = self.search
        lines = [
            f"Sweep {self.name}, as a simulation of it went (its rungs stop simulated trials, not yours):",
            f"  search        {self.trials} trials, {self.at_most} epochs if none is stopped early",
            f"                {search.requested} with rungs, {search.trained} to train with shared prefixes",
        ]
        if (again := self.confirmation) is not None:
            lines.append(f"  confirmation  {again.requested} epochs; {again.trained} to train")
        return "\n".join([*lines, f"  in all        about {self.trained} epochs to train"])


def forecast(spec: SweepSpec, prior: ClassPrior) -> Forecast:
    """Run a sweep's own search over simulated trials: its space, sampler, rungs, controls and confirmation.

    Args:
        spec: the sweep.
        prior: classes and their frequencies.

    Raises:
        UserError: when something in it goes by a metric of the user's own, which no simulated trial reports.
    """
    if own := sorted(name for name in spec.steered_by if OWN.fullmatch(name.partition("/")[0])):
        hint = "leave --dry-run out: no simulated trial can report it"
        raise UserError(Problem("goes by a metric of your own", key="--dry-run", found=own[0], hint=hint))
    settings = dataclasses.replace(settings_of(spec, prior), hours=None)
    logging.getLogger("optuna.storages._in_memory").setLevel(logging.WARNING)  # "a new study created"
    study = optuna.create_study(directions=list(settings.objective.directions))
    conductor = Conductor(study, settings, template_of(spec), MemoryJournal())
    try:
        runner = InlineRunner(spec.resources.parallel or SLOTS)
        runner.run(Dispatcher(conductor), SharingTrainer(SimulatedTrainer()))
        found = [conductor.history(trial.number) for trial in study.get_trials(deepcopy=False)]
    finally:
        conductor.shut_down()
    confirming = [trial for trial in found if trial.confirms is not None]
    searched = [trial for trial in found if trial.confirms is None]
    return Forecast(
        name=spec.name,
        trials=len(searched),
        at_most=(spec.budget.trials if spec.budget.refill else len(searched)) * spec.budget.epochs,
        search=Epochs.of(searched),
        confirmation=Epochs.of(confirming) if confirming else None,
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """How long an epoch takes on this machine.

    Attributes:
        images_per_second: of one trial that trains alone, without evaluations.
        images: that an epoch trains.
        measured_s: for how many seconds that was measured.
    """

    images_per_second: float
    images: int
    measured_s: float

    @property
    def epoch_s(self) -> float:
        """Seconds an epoch, training alone."""
        return self.images / self.images_per_second

    def __str__(self) -> str:
        speed = f"{self.epoch_s:.2g} s an epoch, {self.images_per_second:.3g} images/s"
        return f"{speed}, as measured here for {self.measured_s:.0f} s"

    def hours(self, epochs: int) -> float:
        """Hours of one worker for so many epochs, training alone."""
        return epochs * self.epoch_s / 3600.0


def calibrated(spec: SweepSpec, task: TrainingTask, seconds: float = SECONDS) -> Calibration:
    """Train the sweep's model in this process for some seconds, after a few steps to warm up.

    Args:
        spec: the sweep.
        task: its trainer, with the data prepared.
        seconds: to measure.

    Raises:
        OutOfMemory: the device cannot hold the micro-batch.
    """
    from lossweep.trainers.pace import pace
    from lossweep.trainers.trial import SegmentationTrainer

    assert isinstance(task.trainer, SegmentationTrainer)
    plan, data = template_of(spec).plan(0, spec.seed, plain(spec.budget.epochs)), task.trainer.data()
    speed, _ = pace(plan, data, 1.0, seconds, lambda: None)
    images = spec.training.step_images
    return Calibration(speed, data.train.steps_per_epoch(images) * images, seconds)
