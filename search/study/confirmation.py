"""Confirmation: leaders, ablations and control trained again from scratch with fresh, paired seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lossweep.search.study.ranking import best_plain, leaders
from lossweep.search.study.trial_history import TrialHistory
from lossweep.spaces.schedules.controls import ablations
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import realised


class Role(StrEnum):
    """What an arm of a confirmation is there for."""

    LEADER = "leader"
    CONTROL = "control"
    RATES_ALONE = "rates_alone"
    FIRST_PHASE_ALONE = "first_phase_alone"
    ONE_LOSS = "one_loss"


@dataclass(frozen=True, slots=True)
class Arm:
    """One schedule that is confirmed.

    Attributes:
        role: leader, control, or which ablation.
        trial: number of the search's trial: the leader's or the control's; of an ablation, its leader's.
        schedule: what is trained.
        baseline: name of the user's baseline whose own training settings it is trained by; None for the
            sweep's.
    """

    role: Role
    trial: int
    schedule: LossSchedule
    baseline: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        own = {"baseline": self.baseline} if self.baseline is not None else {}
        return {"role": self.role.value, "trial": self.trial, "schedule": self.schedule.plain(), **own}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Arm:
        """Read back what `plain` wrote."""
        schedule = LossSchedule.model_validate(data["schedule"])
        return cls(Role(data["role"]), int(data["trial"]), schedule, data.get("baseline"))


@dataclass(frozen=True, slots=True)
class Training:
    """One training of a confirmation: a schedule, the index of its seed, and whose settings it takes."""

    schedule: LossSchedule
    seed: int
    baseline: str | None = None


@dataclass(frozen=True, slots=True)
class ConfirmationPlan:
    """What one confirmation trains. It is written before the first of its trials, so that resuming keeps it.

    Attributes:
        arms: the control first, then each leader with its ablations.
        seeds: how many seeds; the k-th is the same in every confirmation of a sweep.
        margin: the difference in the objective that nobody minds.
        searched: trials of the search when it was planned.
        reads_before: how often the test split had been read by then, by earlier confirmations.
    """

    arms: tuple[Arm, ...]
    seeds: int
    margin: float
    searched: int
    reads_before: int = 0

    @property
    def control(self) -> Arm:
        """What the leaders are held against."""
        return next(arm for arm in self.arms if arm.role is Role.CONTROL)

    @property
    def leaders(self) -> tuple[Arm, ...]:
        """The leaders, best of the search first."""
        return tuple(arm for arm in self.arms if arm.role is Role.LEADER)

    def arms_of(self, trial: TrialHistory) -> tuple[Arm, ...]:
        """What a confirmation trial is one training of; none for one of an earlier confirmation alone.

        Several where a leader's ablation is the control, or that of another leader.
        """
        same = (trial.schedule, trial.control)
        return tuple(arm for arm in self.arms if (arm.schedule, arm.baseline) == same)

    def asks_for(self, trial: TrialHistory) -> bool:
        """Whether a confirmation trial is one of this plan's trainings."""
        return trial.confirms is not None and trial.confirms < self.seeds and bool(self.arms_of(trial))

    def ablation(self, leader: Arm, role: Role) -> Arm | None:
        """A leader's ablation; None where it would equal the leader or another ablation."""
        return next((arm for arm in self.arms if arm.role is role and arm.trial == leader.trial), None)

    def trainings(self) -> Iterator[Training]:
        """Yield each distinct training of each seed, seed by seed: pairs are whole early."""
        distinct = tuple(dict.fromkeys((arm.schedule, arm.baseline) for arm in self.arms))
        for seed in range(self.seeds):
            yield from (Training(schedule, seed, baseline) for schedule, baseline in distinct)

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "arms": [arm.plain() for arm in self.arms],
            "seeds": self.seeds,
            "margin": self.margin,
            "searched": self.searched,
            "reads_before": self.reads_before,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> ConfirmationPlan:
        """Read back what `plain` wrote."""
        return cls(**{**data, "arms": tuple(Arm.from_plain(arm) for arm in data["arms"])})


def plan_confirmation(
    trials: Sequence[TrialHistory],
    directions: tuple[str, ...],
    *,
    top: int,
    seeds: int,
    margin: float,
    own_controls: Sequence[str] = (),
    trained_otherwise: Collection[str] = (),
    reads_before: int = 0,
) -> ConfirmationPlan | None:
    """Choose what is to be confirmed: the best distinct schedules, what they were made of, and the control.

    Args:
        trials: of the search.
        directions: ``maximize`` or ``minimize``, one a metric of the objective.
        top: how many leaders.
        seeds: how many seeds.
        margin: see `ConfirmationPlan`.
        own_controls: names of the user's own baselines.
        trained_otherwise: those of them that have training settings of their own.
        reads_before: see `ConfirmationPlan`.

    Returns:
        The plan, or None while there is no leader or no control to hold it against.
    """
    control = best_plain(trials, directions, own_controls)
    chosen = leaders(trials, directions, top, own_controls)
    if control is None or not chosen:
        return None
    baseline = control.control if control.control in trained_otherwise else None
    arms = [Arm(Role.CONTROL, control.number, control.schedule, baseline)]
    for leader in chosen:
        arms.append(Arm(Role.LEADER, leader.number, leader.schedule))
        lengths = [(stay.phase, stay.epochs) for stay in realised(leader.evaluations)]
        arms += [
            Arm(Role(name), leader.number, schedule)
            for name, schedule in ablations(leader.schedule, lengths).items()
        ]
    return ConfirmationPlan(tuple(arms), seeds, margin, len(trials), reads_before)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A sweep's confirmation as it stands.

    Attributes:
        plan: the newest.
        trials: of all its confirmations, in order of number.
        rounds: how many confirmations were planned.
    """

    plan: ConfirmationPlan
    trials: tuple[TrialHistory, ...]
    rounds: int = 1

    def of(self, schedule: LossSchedule, baseline: str | None = None) -> dict[int, TrialHistory]:
        """The trials of one schedule, by the index of their seed.

        Args:
            schedule: of an arm.
            baseline: of the same arm.
        """
        found = [t for t in self.trials if t.schedule == schedule and t.control == baseline]
        return {trial.confirms: trial for trial in found if trial.confirms is not None}

    @property
    def planned(self) -> int:
        """Trainings that the plan asks for."""
        return sum(1 for _ in self.plan.trainings())

    @property
    def done(self) -> int:
        """Trainings of the plan that have ended."""
        ended = {Training(t.schedule, t.confirms or 0, t.control) for t in self.trials if t.outcome.is_final}
        return sum(training in ended for training in self.plan.trainings())

    @property
    def reads(self) -> int:
        """How often the test split was read."""
        return sum(trial.held_out is not None for trial in self.trials)

    @property
    def complete(self) -> bool:
        """Whether every training of the plan has ended."""
        return self.done == self.planned
