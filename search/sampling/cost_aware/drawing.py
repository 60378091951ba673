"""Whole schedules drawn from a space outside of any trial: what asks, what answers, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lossweep.spaces.proposing.distributions import C
from lossweep.spaces.schedules.schedule import LossSchedule

Answer = Callable[[str, BaseDistribution], Any]
"""Gives a parameter's value, as a trial would suggest it."""


class Suggesting(Protocol):
    """What is drawn from: `spaces.proposing.schedule_space.ScheduleSpace`."""

    def suggest(self, trial: Any) -> LossSchedule:
        """Return a schedule built from what a trial suggests."""


class Unanswered(LookupError):
    """A parameter is asked for that nobody knows."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A schedule, with the parameters that suggest it in the order in which they were asked for."""

    schedule: LossSchedule
    parameters: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]

    def heads(self) -> list[str]:
        """What the parameters are named by first, in order: ``cycles``, ``phase0``, ``phase1``."""
        return list(dict.fromkeys(head_of(name) for name in self.parameters))


def head_of(name: str) -> str:
    """The first part of a parameter's name: the phase that it belongs to."""
    return name.partition(".")[0]


def draw(space: Suggesting, answer: Answer) -> Drawn:
    """Draw one schedule, each of its parameters answered as it is asked for."""
    asked = _Asked(answer)
    schedule = space.suggest(asked)
    return Drawn(schedule, asked.parameters, asked.distributions)


def known(parameters: Mapping[str, Any]) -> Answer:
    """Answer with these parameters.

    Raises:
        Unanswered: when asked, for any other.
    """

    def answer(name: str, distribution: BaseDistribution) -> Any:
        if name not in parameters or not distribution._contains(
            distribution.to_internal_repr(parameters[name])
        ):
            raise Unanswered(name)
        return parameters[name]

    return answer


class _Asked:
    """Stands for an Optuna trial, and remembers what was asked and answered."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.parameters: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._ask(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._ask(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[C]) -> C:
        chosen: C = self._ask(name, CategoricalDistribution(choices))
        return chosen

    def _ask(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self.parameters:
            self.parameters[name] = self._answer(name, distribution)
            self.distributions[name] = distribution
        return self.parameters[name]
