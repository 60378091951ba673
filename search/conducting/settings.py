"""What a sweep searches, for what, and what all its trials have in common: what a conductor is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec, check_sampler
from lossweep.search.sampling.proposals import Space, drawn_at_random
from lossweep.search.study.objectives import ObjectiveSpec
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan


@dataclass(frozen=True, slots=True)
class PlanTemplate:
    """What all trials of a sweep have in common: their budget of epochs, and all but the schedule."""

    epochs: int
    data: DataSpec
    model: ModelSpec
    training: TrainingSpec
    guards: GuardSpec
    measure: MeasureSpec

    def plan(self, number: int, seed: int, schedule: LossSchedule) -> TrialPlan:
        """Return one trial's plan; whatever budget the schedule has, it trains for the sweep's."""
        common = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        budgeted = schedule.with_budget(common.pop("epochs"))
        return TrialPlan(number=number, seed=seed, schedule=budgeted, **common)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a sweep searches, for what, and with how much.

    Attributes:
        space: what may be proposed.
        objective: what is good.
        pruning: which trials are ended early.
        sampler: what proposes.
        trials: how many trials there may be. All count but the interrupted ones, which go on.
        hours: wall-clock hours after which no trial starts, summed over the sweep's drivers.
        controls: schedules that are asked for first, by name.
        seed: everything random follows from it.
    """

    space: Space
    objective: ObjectiveSpec
    pruning: PruningSpec
    sampler: SamplerSpec
    trials: int
    hours: float | None = None
    controls: Mapping[str, LossSchedule] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def check(self) -> None:
        """Make sure that the sampler fits what is searched.

        Raises:
            UserError: with everything that does not fit.
        """
        drawn = drawn_at_random(self.space, 16)
        if problems := check_sampler(self.sampler, len(self.objective.names), drawn):
            raise UserError(problems)
