"""What the search for the control may propose: plain cross-entropy at any rate, shape and warm-up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import CrossEntropy
from lossweep.spaces.proposing.distributions import C, Choice, Parameters, Range, TrialLike, nearest_values
from lossweep.spaces.proposing.loss_space import LossSpace
from lossweep.spaces.proposing.schedule_space import ScheduleSpace
from lossweep.spaces.proposing.space_spec import PhaseSpace, SpaceSpec
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.schedule import SHAPES, LossSchedule, Phase, Shape

PREFIX: Final = "control."
"""Before the names of its parameters: its rates are another search's than those of the proposals."""
DEFAULT_RATES: Final = Range(low=1e-4, high=1e-2, log=True, levels=9)
"""Searched when the space gives its first phase no range of rates."""
APART: Final = 0.25
"""Decades between the values of the control's rates, where they are from a grid."""
_START_SHAPES: Final[tuple[Shape, ...]] = ("drop", "cosine")
"""A rate that falls at the end has seldom done worse than a constant one; the sampler may try that."""


class ControlSpace:
    """Plain cross-entropy for the whole budget: its rate, how the rate runs, and a warm-up.

    Args:
        rates: of the learning rate.
        shapes: how it may run.
        warmup_steps: of linear rise.
        epochs: the budget of a trial.
        prior: classes and their frequencies.
    """

    def __init__(
        self,
        rates: Range,
        epochs: int,
        prior: ClassPrior,
        shapes: Sequence[Shape] = SHAPES,
        warmup_steps: Sequence[int] = (0,),
    ) -> None:
        self._rates, self._shapes, self._warmups = rates, tuple(shapes), tuple(warmup_steps)
        phase = PhaseSpace(
            losses=(LossSpace.model_validate({"term": "cross_entropy"}),),
            learning_rate=rates,
            shape=_one_of(self._shapes),
            warmup_steps=_one_of(self._warmups),
        )
        self._space = ScheduleSpace(SpaceSpec(phases=(phase,), cycles=1), epochs, prior)
        self._epochs = epochs

    def suggest(self, trial: TrialLike) -> LossSchedule:
        """Ask for one schedule; see `ScheduleSpace.suggest`."""
        return self._space.suggest(_Prefixed(trial))

    def parameters_of(self, schedule: LossSchedule) -> Parameters:
        """The parameters for which `suggest` returns this schedule.

        Raises:
            UserError: when the schedule is not in the space.
        """
        if not is_plain(schedule):
            raise UserError(Problem("is not plain cross-entropy", found=str(schedule)))
        return {f"{PREFIX}{name}": value for name, value in self._space.parameters_of(schedule).items()}

    def starts(self) -> Iterator[LossSchedule]:
        """Schedules to begin with, spread over the rates: the middle, then the quarters, then the eighths.

        A model of a search learns nothing from rates that lie side by side, and at random some do.
        """
        seen: set[LossSchedule] = set()
        for count, share in enumerate(_halvings(16)):
            shape = _START_SHAPES[count % len(_START_SHAPES)]
            shape = shape if shape in self._shapes else self._shapes[0]
            schedule = self.at(share, shape)
            if schedule not in seen:
                seen.add(schedule)
                yield schedule

    def at(self, share: float, shape: Shape) -> LossSchedule:
        """The schedule at a share of the way from the lowest rate to the highest, without a warm-up."""
        low, high = float(self._rates.low), float(self._rates.high)
        rate = low * (high / low) ** share if self._rates.log else low + (high - low) * share
        rate = float(nearest_values(self._rates, rate)[0])
        phase = Phase(
            loss=CrossEntropy(),
            learning_rate=rate,
            epochs=self._epochs,
            shape=shape,
            warmup_steps=self._warmups[0],
        )
        return LossSchedule(phases=(phase,), epochs=self._epochs)


def control_rates(spec: SpaceSpec) -> Range:
    """The rates of the control's search: all that the space allows its first phase's losses.

    A lead that comes from a rate which the control was not allowed to have is no lead of the loss's. Where a
    space takes its rates from few values, so that first phases coincide, the control gets those between, too.
    """
    first = (spec.spelled_out().phases or ())[0]
    found = [loss.learning_rate or first.learning_rate for loss in first.losses]
    ranges = [rate for rate in found if isinstance(rate, Range)]
    if not ranges:
        return DEFAULT_RATES
    widest = max(ranges, key=lambda rate: float(rate.high) / max(float(rate.low), 1e-12))
    low = min(float(rate.low) for rate in ranges)
    high = max(float(rate.high) for rate in ranges)
    if (low, high) == (float(widest.low), float(widest.high)):
        return _finer(widest.model_copy(update={"usual": ()}))  # usual there is what suits other losses
    return Range(low=low, high=high, log=True)


def _finer(rates: Range) -> Range:
    """The same range with values at most `APART` decades apart; all of the old ones are among them."""
    if not rates.log or rates.levels is None:
        return rates
    steps = rates.levels - 1
    apart = math.log10(float(rates.high) / float(rates.low)) / steps
    return rates.model_copy(update={"levels": steps * math.ceil(round(apart / APART, 6)) + 1})


def _one_of(values: Sequence[str] | Sequence[int]) -> Choice | str | int:
    return values[0] if len(values) == 1 else Choice(choice=tuple(values))


def _halvings(count: int) -> Iterator[float]:
    """The van der Corput sequence in base 2, its upper halves first: 1/2, 3/4, 1/4, 7/8, 3/8, ..."""
    for index in range(1, count + 1):
        share, weight, rest = 0.0, 0.5, index
        while rest:
            share += weight * (rest & 1)
            rest, weight = rest >> 1, weight / 2
        yield 1.0 - share


class _Prefixed:
    """A trial whose parameters all get `PREFIX`."""

    def __init__(self, trial: TrialLike) -> None:
        self._trial = trial

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self._trial.suggest_float(PREFIX + name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._trial.suggest_int(PREFIX + name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[C]) -> C:
        return self._trial.suggest_categorical(PREFIX + name, choices)
