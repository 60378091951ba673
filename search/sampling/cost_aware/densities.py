"""TPE's densities of the good and of the other trials, for whole schedules: drawn from, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from lossweep.search.sampling.cost_aware.drawing import Drawn
from lossweep.search.sampling.tpe_density import Density

Floats = NDArray[np.float64]
Space = Mapping[str, BaseDistribution]


class Densities:
    """Two densities for each group of parameters that always occur together, made as they are needed.

    Args:
        groups: the groups.
        density: gives the density of the good trials (true) or of the others in a group's parameters.
        dice: what is drawn by.
        tries: samples of a group of which the likeliest to be good is taken, as TPE does.
        draws: schedules that will be drawn.
    """

    def __init__(
        self,
        groups: Sequence[Space],
        density: Callable[[bool, Space], Density],
        dice: np.random.RandomState,
        tries: int,
        draws: int,
    ) -> None:
        self._groups = tuple(groups)
        self._group_of = {name: index for index, group in enumerate(groups) for name in group}
        self._density, self._dice = density, dice
        self._tries, self._draws = tries, draws
        self._pairs: dict[int, tuple[Density, Density]] = {}
        self._samples: dict[int, dict[str, Floats]] = {}

    def value(self, turn: int, name: str, distribution: BaseDistribution) -> Any | None:
        """What TPE samples for a parameter in one of the draws; None when no trial has tried it."""
        index = self._group_of.get(name)
        if index is None or not _fits(self._groups[index][name], distribution):
            return None
        if index not in self._samples:
            self._samples[index] = self._best(index)
        return distribution.to_external_repr(self._samples[index][name][turn])

    def ratio(self, drawn: Sequence[Drawn]) -> Floats:
        """The logarithm of good to other density of each schedule: the sum over its groups."""
        total = np.zeros(len(drawn))
        for index, group in enumerate(self._groups):
            rows = [at for at, one in enumerate(drawn) if group.keys() <= one.parameters.keys()]
            if rows:
                samples = {
                    name: np.array([float(kind.to_internal_repr(drawn[at].parameters[name])) for at in rows])
                    for name, kind in group.items()
                }
                total[rows] += self._compare(index, samples)
        return total

    def _best(self, index: int) -> dict[str, Floats]:
        """A sample of a group for each draw, each the best of some."""
        samples = self._pair(index)[0].sample(self._dice, self._tries * self._draws)
        ratios = self._compare(index, samples).reshape(self._draws, self._tries)
        best = np.argmax(ratios, axis=1) + self._tries * np.arange(self._draws)
        return {name: values[best] for name, values in samples.items()}

    def _compare(self, index: int, samples: dict[str, Floats]) -> Floats:
        below, above = self._pair(index)
        ratios: Floats = below.log_pdf(samples) - above.log_pdf(samples)
        return ratios

    def _pair(self, index: int) -> tuple[Density, Density]:
        if index not in self._pairs:
            group = self._groups[index]
            self._pairs[index] = self._density(True, group), self._density(False, group)
        return self._pairs[index]


def _fits(ours: BaseDistribution, asked: BaseDistribution) -> bool:
    return type(ours) is type(asked) and ours == asked
