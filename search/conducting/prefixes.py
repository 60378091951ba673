"""Which trials train what another one is about to: it waits for them, instead of training it as well.

A trial goes on from the longest prefix that any trial has trained, which `trainers.loop.retrieval` finds when
it starts. What another one trains at that moment it would train a second time. So it waits, which costs it no
time: the other one is ahead on those very epochs, and ends with a checkpoint wherever they part. Meanwhile
others go first. Whoever waits stands in the study as interrupted before its first epoch: a driver that dies
leaves it to the next one, which finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """One trial: its plan, the epochs that it has done, and whether it runs."""

    plan: TrialPlan
    done: int
    runs: bool = False


class Prefixes:
    """Follows what the trials of a sweep have trained, and who waits for whom."""

    def __init__(self) -> None:
        self._trainings: dict[int, _Training] = {}
        self._alike: dict[tuple[object, ...], list[int]] = {}
        self._common: dict[tuple[int, int], int] = {}

    def add(self, plan: TrialPlan, evaluations: Sequence[Evaluation] = ()) -> None:
        """Follow a trial that does not run yet, or not any more.

        Args:
            plan: what it trains.
            evaluations: what it has reported so far.
        """
        done = evaluations[-1].epoch if evaluations else 0
        self._trainings[plan.number] = _Training(plan, done)
        self._alike.setdefault(_beginning(plan), []).append(plan.number)

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
        sharing = [(self._trainings[other], common) for other, common in self._sharing(number)]
        trained = max((min(each.done, common) for each, common in sharing), default=0)
        trained = max(trained, self._trainings[number].done)
        training = [
            Awaited(each.plan.number, common)
            for each, common in sharing
            if each.runs and common > max(trained, each.done)
        ]
        return max(training, key=lambda each: each.epochs, default=None)

    def may_wait(self, waiting: int) -> bool:
        """Whether one more may wait beside so many: as many as run, so that no proposal gets too old."""
        return waiting < max(LEAST_WAITING, sum(each.runs for each in self._trainings.values()))

    def _sharing(self, number: int) -> Iterator[tuple[int, int]]:
        """The trials that begin as this one, with the epochs that both surely train alike."""
        mine = self._trainings[number].plan
        for other in self._alike[_beginning(mine)]:
            if other != number:
                pair = min(number, other), max(number, other)
                if pair not in self._common:
                    first, second = (self._trainings[each].plan.schedule for each in pair)
                    self._common[pair] = common_epochs(first, second, mine.training.evaluate_every)
                yield other, self._common[pair]


def _beginning(plan: TrialPlan) -> tuple[object, ...]:
    """What trials that share anything have in common; so few of them are looked at."""
    return plan.seed, plan.training.model_dump_json(), identity(plan.schedule.phases[0], plan.code)
