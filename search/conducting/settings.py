"""What a sweep searches, for what, and what all its trials have in common: what a conductor is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec, check_sampler
from lossweep.search.sampling.control_proposals import ControlProposals
from lossweep.search.sampling.proposals import Space, drawn_at_random
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.controls import Named
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import DataSpec
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec


@dataclass(frozen=True, slots=True)
class PlanTemplate:
    """What all trials of a sweep have in common: their budget of epochs, and all but the schedule."""

    epochs: int
    data: DataSpec
    model: ModelSpec
    training: TrainingSpec
    guards: GuardSpec
    measure: MeasureSpec
    own_training: Mapping[str, TrainingSpec] = dataclasses.field(default_factory=dict)
    """Training settings of the user's baselines that have their own, by name."""
    branch_epochs: frozenset[int] = frozenset()
    """Where schedules of the space that begin alike part within the first phase."""

    def plan(
        self,
        number: int,
        seed: int,
        schedule: LossSchedule,
        held_out: ObjectiveSpec | None = None,
        control: str | None = None,
        epochs: int | None = None,
    ) -> TrialPlan:
        """Return one trial's plan.

        Args:
            number: of the trial.
            seed: of its training.
            schedule: what it trains.
            held_out: the objective by which a trial that confirms reads the test split at its end.
            control: name of the control that it is, if any: a baseline may have training settings of its own.
            epochs: of a trial that has more of them than the others; theirs when None.
        """
        return TrialPlan(
            number=number,
            seed=seed,
            schedule=schedule.with_budget(epochs or self.epochs),
            data=self.data,
            model=self.model,
            training=self.own_training.get(control or "", self.training),
            guards=self.guards,
            measure=self.measure,
            held_out=held_out,
            branch_epochs=self.branch_epochs,
        )


@dataclass(frozen=True, slots=True)
class ControlSearch:
    """How plain cross-entropy is searched beside the proposals.

    Attributes:
        space: its rates, shapes and warm-ups.
        share: of the trials.
        at_least: trials, before anything else starts; never more than half of all.
        sampler: what proposes after the first few, which are spread over the rates.
    """

    space: ControlProposals
    share: float
    at_least: int
    sampler: SamplerSpec

    def trials(self, budget: int) -> int:
        """How many of a budget's trials it gets."""
        return max(self.first(budget), int(self.share * budget))

    def first(self, budget: int) -> int:
        """How many of them come before everything else."""
        return min(self.at_least, max(1, budget // 2))


@dataclass(frozen=True, slots=True)
class ConfirmSettings:
    """What is confirmed once the search is over.

    Attributes:
        top: how many leaders.
        seeds: how many fresh seeds each.
        margin: the difference in the objective that nobody minds.
        at_once: confirm what there is now, searching no further.
    """

    top: int
    seeds: int
    margin: float
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class ExtendSettings:
    """Which trial is given more epochs than the budget.

    Attributes:
        trial: its number.
        epochs: in all.
    """

    trial: int
    epochs: int


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a sweep searches, for what, and with how much.

    Attributes:
        space: what may be proposed.
        objective: what is good.
        pruning: which trials are ended early.
        sampler: what proposes.
        trials: how many trials there may be. All count but the interrupted ones, which go on.
        refill: whether more follow until as many epochs were trained as so many trials have.
        hours: wall-clock hours after which no trial starts, summed over the sweep's drivers.
        controls: schedules that are asked for first, by name: the user's own baselines.
        control_search: the search for the best plain cross-entropy; None without one.
        named: the controls that start at the rate and shape found for plain cross-entropy.
        confirm: what is trained again at the end, with fresh seeds; None for nothing.
        extend: a trial that is given more epochs, and searched no further; None for none.
        warm_start: former winners, tried before the first proposal.
        trained_otherwise: names of the controls that have training settings of their own.
        retry_failed: whether what failed under earlier drivers is tried again, before anything else starts.
        seed: everything random follows from it.
        common_seed: whether all trials of the search train with one seed, so that they share prefixes and
            the luck of the seed; those of the confirmation have fresh ones.
    """

    space: Space
    objective: ObjectiveSpec
    pruning: PruningSpec
    sampler: SamplerSpec
    trials: int
    refill: bool = False
    hours: float | None = None
    controls: Mapping[str, LossSchedule] = dataclasses.field(default_factory=dict)
    control_search: ControlSearch | None = None
    named: tuple[Named, ...] = ()
    confirm: ConfirmSettings | None = None
    extend: ExtendSettings | None = None
    warm_start: tuple[LossSchedule, ...] = ()
    trained_otherwise: frozenset[str] = frozenset()
    retry_failed: bool = False
    seed: int = 0
    common_seed: bool = True

    @property
    def at_once(self) -> str:
        """What is done at once, searching no further, as it is said when it is done; empty for a search."""
        if self.extend is not None:
            return f"trial {self.extend.trial} was extended to {self.extend.epochs} epochs"
        return "its leaders are confirmed" if self.confirm is not None and self.confirm.at_once else ""

    def check(self) -> None:
        """Make sure that the sampler fits what is searched.

        Raises:
            UserError: with everything that does not fit.
        """
        drawn = drawn_at_random(self.space, 16)
        if problems := check_sampler(self.sampler, len(self.objective.names), drawn):
            raise UserError(problems)
