"""Which trials train what another one is about to: it waits for them, instead of training it as well.

A trial goes on from the longest prefix that any trial has trained, which `trainers.loop.retrieval` finds when
it starts. What another one trains at that moment it would train a second time. So it waits, which costs it no
time: the other one is ahead on those very epochs, and ends with a checkpoint wherever they part. Meanwhile
others go first. Whoever waits stands in the study as interrupted before its first epoch: a driver that dies
leaves it to the next one, which finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lossweep.spaces.schedules.common_prefix import common_epochs, identity
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

LEAST_WAITING: Final = 4
"""So many may wait however few run: at a sweep's start others are proposed, rather than all wait for one."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A running trial that another one waits for.

    Attributes:
        number: of the running one.
        epochs: that both begin with.
    """

    number: int
    epochs: int

    def __str__(self) -> str:
        return f"waits for trial {self.number}, which trains the {self.epochs} epochs that both begin with"


@dataclass(slots=True)
class _Training:
    """One trial: its plan, how it begins, the epochs that it has done, and whether it runs."""

    plan: TrialPlan
    beginning: str
    done: int
    runs: bool = False


class Prefixes:
    """Follows what the trials of a sweep have trained, and who waits for whom."""

    def __init__(self) -> None:
        self._trainings: dict[int, _Training] = {}
        self._alike: dict[str, list[_Training]] = {}
        self._common: dict[tuple[int, int], int] = {}

    def add(self, plan: TrialPlan, evaluations: Sequence[Evaluation] = ()) -> None:
        """Follow a trial that does not run yet, or not any more.

        Args:
            plan: what it trains.
            evaluations: what it has reported so far.
        """
        done = evaluations[-1].epoch if evaluations else 0
        training = _Training(plan, _beginning(plan), done)
        self._trainings[plan.number] = training
        self._alike.setdefault(training.beginning, []).append(training)

    def begins(self, number: int) -> None:
        """A trial runs from now on."""
        self._trainings[number].runs = True

    def takes(self, number: int, evaluation: Evaluation) -> None:
        """A trial has come so far: its checkpoint can be gone on from."""
        training = self._trainings[number]
        training.done = max(training.done, evaluation.epoch)

    def ends(self, number: int) -> None:
        """A trial runs no more."""
        self._trainings[number].runs = False

    def awaited(self, number: int) -> Awaited | None:
        """What a trial should wait for before it starts: whoever trains most of its prefix right now.

        None where nobody trains any of it beyond what was trained already.
        """
        mine = self._trainings[number]
        alike = [each for each in self._alike[mine.beginning] if each is not mine]
        training = [
            Awaited(each.plan.number, common)
            for each in alike
            if each.runs and (common := self._shared(mine, each)) > max(mine.done, each.done)
        ]
        most = max(training, key=lambda each: each.epochs, default=None)
        if most is None:
            return None
        # What was trained already is gone on from, and only then does anybody else's progress matter.
        trained = max(min(each.done, self._shared(mine, each)) for each in alike)
        return most if most.epochs > trained else None

    def may_wait(self, waiting: int) -> bool:
        """Whether one more may wait beside so many: as many as run, so that no proposal gets too old."""
        return waiting < max(LEAST_WAITING, sum(each.runs for each in self._trainings.values()))

    def _shared(self, one: _Training, other: _Training) -> int:
        """The epochs that two trials surely train alike."""
        pair = one.plan.number, other.plan.number
        if pair not in self._common:
            schedules = one.plan.schedule, other.plan.schedule
            common = common_epochs(*schedules, one.plan.training.evaluate_every)
            self._common[pair] = self._common[pair[::-1]] = common
        return self._common[pair]


def _beginning(plan: TrialPlan) -> str:
    """What trials that share anything have in common; so few of them are looked at."""
    phase = identity(plan.schedule.phases[0], plan.code)
    return f"{plan.seed} {plan.training.model_dump_json()} {phase}"
