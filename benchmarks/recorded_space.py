"""The space of the recorded sweeps: all its schedules, and the plain cross-entropies among them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final

import optuna
from search_arms import EPOCHS

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.yaml_source import load_yaml, validate
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.spaces.proposing.control_space import PREFIX
from lossweep.spaces.proposing.schedule_space import ScheduleSpace
from lossweep.spaces.proposing.space_spec import SpaceSpec
from lossweep.spaces.schedules.schedule import SHAPES, LossSchedule, Phase

FOLDER: Final = Path(__file__).parent / "recorded"
CURVES: Final = FOLDER / "curves.parquet"
RATES: Final = (3e-3, 1e-2, 1e-3)
"""The learning rates of the space's first phases, the middle one first."""


def recorded_spec() -> SpaceSpec:
    """The space of the record, as a sweep file would have it."""
    return validate(SpaceSpec, load_yaml(FOLDER / "space.yaml"))


def recorded_space(prior: ClassPrior) -> ScheduleSpace:
    """The space of the record."""
    return ScheduleSpace(recorded_spec(), EPOCHS, prior)


def schedules_of(space: ScheduleSpace) -> tuple[LossSchedule, ...]:
    """Every schedule of a space of choices, the shortest first phases first: others go on from them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():  # "experimental"
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
    found: dict[str, LossSchedule] = {}

    def visit(trial: optuna.Trial) -> float:
        schedule = space.suggest(trial)
        found[schedule.key] = schedule
        return 0.0

    study.optimize(visit)
    return tuple(sorted(found.values(), key=lambda each: (each.phases[0].most_epochs, str(each))))


class PlainOnes:
    """What the control's search may propose on a record: the plain cross-entropies that were trained.

    `spaces.proposing.control_space.ControlSpace` draws rates from a range and tries warm-ups; here are three
    rates and three shapes.
    """

    @staticmethod
    def all() -> list[LossSchedule]:
        """All of them."""
        return [_plain(rate, shape) for rate, shape in product(RATES, SHAPES)]

    def suggest(self, trial: optuna.Trial) -> LossSchedule:
        """Ask for one of them."""
        rate = trial.suggest_categorical(f"{PREFIX}learning_rate", RATES)
        return _plain(rate, trial.suggest_categorical(f"{PREFIX}shape", SHAPES))

    def parameters_of(self, schedule: LossSchedule) -> Mapping[str, Any]:
        """The parameters for which `suggest` returns this schedule.

        Raises:
            ValueError: when it is none of these.
        """
        if schedule not in self.all():
            raise ValueError(f"{schedule} is no plain cross-entropy of the record")
        phase = schedule.phases[0]
        return {f"{PREFIX}learning_rate": phase.learning_rate, f"{PREFIX}shape": phase.shape}

    def starts(self) -> Iterator[LossSchedule]:
        """Each rate, in the order of `RATES`, with a falling rate first, as `ControlSpace` has it."""
        for shapes in (("drop", "cosine", "drop"), ("cosine", "drop", "cosine")):
            yield from map(_plain, RATES, shapes)


def _plain(rate: float, shape: Any) -> LossSchedule:
    phase = Phase(loss=CrossEntropy(), learning_rate=rate, epochs=EPOCHS, shape=shape)
    return LossSchedule(phases=(phase,), epochs=EPOCHS)
