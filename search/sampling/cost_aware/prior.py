"""What a space says of where good values usually lie, as a distribution whose say fades.

As in piBO (Hvarfner et al., ICLR 2022): what a candidate promises is weighed by prior(x) ** (weight / n), n
the trials seen. The prior is a mixture of what is usual and of everything, so that nothing is ever ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lossweep.search.sampling.cost_aware.drawing import Drawn
from lossweep.spaces.proposing.distributions import Usual

TRUST: Final = 0.7
"""The share of draws that keep to what is usual, parameter by parameter."""
WIDTH: Final = 0.15
"""The standard deviation around a usual number, in widths of its range."""
WEIGHT: Final = 10.0
"""The prior counts as much as what is modelled once so many trials were seen."""


class Prior:
    """A prior over a space's parameters.

    Args:
        usual: usual values, by parameter; others are spread evenly.
    """

    def __init__(self, usual: Usual) -> None:
        self._usual = usual

    def answer(
        self, dice: np.random.RandomState, otherwise: Callable[[str, BaseDistribution], Any]
    ) -> Callable[[str, BaseDistribution], Any]:
        """Answer with a draw from the prior; ``otherwise`` draws what is spread evenly."""

        def answer(name: str, distribution: BaseDistribution) -> Any:
            usual = self._usual.get(name, ())
            if not usual or dice.random_sample() >= TRUST:
                return otherwise(name, distribution)
            value = usual[dice.randint(len(usual))]
            if isinstance(distribution, CategoricalDistribution):
                return value if value in distribution.choices else otherwise(name, distribution)
            return _near(distribution, float(value or 0.0), dice.normal(0.0, WIDTH))

        return answer

    def log_ratio(self, drawn: Drawn) -> float:
        """The logarithm of the prior's density to the even one's."""
        return sum(
            math.log(1.0 - TRUST + TRUST * self._density(usual, drawn.parameters[name], kind))
            for name, kind in drawn.distributions.items()
            if (usual := self._usual.get(name))
        )

    @staticmethod
    def _density(usual: tuple[Any, ...], value: Any, distribution: BaseDistribution) -> float:
        """The density of what is usual, against the even one."""
        if isinstance(distribution, CategoricalDistribution):
            return len(distribution.choices) * usual.count(value) / len(usual)
        low, high = _ends(distribution)
        if low == high:
            return 1.0
        away = ((_scaled(distribution, value) - _scaled(distribution, each)) / (high - low) for each in usual)
        peak = 1.0 / (WIDTH * math.sqrt(2.0 * math.pi))
        return sum(peak * math.exp(-0.5 * (each / WIDTH) ** 2) for each in away) / len(usual)


def fading(seen: int) -> float:
    """The prior's exponent after so many trials."""
    return min(1.0, WEIGHT / max(1, seen))


def prior_of(space: object) -> Prior:
    """The prior of a space; an even one of a space that says nothing."""
    usual: Callable[[], Mapping[str, tuple[Any, ...]]] = getattr(space, "usual", dict)
    return Prior(dict(usual()))


def _scaled(distribution: BaseDistribution, value: float) -> float:
    return math.log(value) if getattr(distribution, "log", False) else float(value)


def _ends(distribution: BaseDistribution) -> tuple[float, float]:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return _scaled(distribution, distribution.low), _scaled(distribution, distribution.high)


def _near(distribution: BaseDistribution, usual: float, away: float) -> float | int:
    """A number at a distance from a usual one, in widths of its range, and within it."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = _ends(distribution)
    scaled = min(max(_scaled(distribution, usual) + away * (high - low), low), high)
    value = math.exp(scaled) if distribution.log else scaled
    value = min(max(value, distribution.low), distribution.high)
    if distribution.step is not None and not distribution.log:
        steps = round((value - distribution.low) / distribution.step)
        value = distribution.low + steps * distribution.step
    if isinstance(distribution, IntDistribution):
        return min(round(value), distribution.high)
    return min(value, distribution.high)
