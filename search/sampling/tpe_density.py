"""Optuna's density of a group of parameters, with what it computes again and again computed once.

The mixture has a kernel for each trial. A parameter with steps has few values and, after some tens of trials,
few kernels, which come back proposal after proposal; yet Optuna integrates them anew each time, one number
after another. Here the integrals are kept. They enter in Optuna's order of operations, so every float is the
one that Optuna computes, and so is every proposal.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe._truncnorm import _log_gauss_mass
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _unique_inverse_2d,
)

Floats = NDArray[np.float64]

MOST_STEPS: Final = 64
"""A parameter with more is left to Optuna: its values hardly come back."""

MOST_KEPT: Final = 100_000
"""Kernels, each with an integral for each of its steps: 50 MB at most."""


class Integrals:
    """What kernels of parameters with steps integrate to, over each step and over all of them.

    That follows from the steps and from the kernel's mean and width alone.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[float, ...], Floats] = {}

    def of(self, dimension: Any, mu: Floats, sigma: Floats) -> Floats:
        """Return the logarithms, of shape (kernels, steps + 1); the last column is over all steps."""
        if len(self._kept) > MOST_KEPT:
            self._kept.clear()
        grid = dimension.low, dimension.high, dimension.step, dimension.is_log
        keys = [(*grid, *kernel) for kernel in zip(mu.tolist(), sigma.tolist(), strict=True)]
        new = [index for index, key in enumerate(keys) if key not in self._kept]
        if new:
            for index, row in zip(new, _integrated(dimension, mu[new], sigma[new]), strict=True):
                self._kept[keys[index]] = row
        return np.array([self._kept[key] for key in keys])


class Density(_ParzenEstimator):
    """Takes and returns what Optuna's does. Groups with a parameter of many values are left to Optuna."""

    def __init__(
        self,
        observations: dict[str, Floats],
        search_space: dict[str, BaseDistribution],
        parameters: _ParzenEstimatorParameters,
        integrals: Integrals,
    ) -> None:
        super().__init__(observations, search_space, parameters)
        self._integrals = integrals
        self._few = all(_has_few_values(each) for each in self._mixture_distribution.distributions)

    def log_pdf(self, samples_dict: dict[str, Floats]) -> Floats:
        """Return the log density of each candidate."""
        if not self._few:
            return super().log_pdf(samples_dict)
        mixture = self._mixture_distribution
        candidates, which = np.unique(self._transform(samples_dict), axis=0, return_inverse=True)
        weighted = np.zeros((len(candidates), len(mixture.weights)))
        for values, dimension in zip(candidates.T, mixture.distributions, strict=True):
            if isinstance(dimension, _BatchedCategoricalDistributions):
                weighted += np.log(dimension.weights).T[values.astype(np.intp)]
                continue
            mu, sigma, kernel = _unique_inverse_2d(dimension.mu, dimension.sigma)
            integrals = self._integrals.of(dimension, mu, sigma).T
            steps = np.rint((values - dimension.low) / dimension.step).astype(np.intp)
            weighted += integrals[np.ix_(steps, kernel)]
            weighted -= integrals[-1, kernel]
        weighted += np.log(mixture.weights)
        highest = weighted.max(axis=1)
        highest[np.isneginf(highest)] = 0
        with np.errstate(divide="ignore"):  # log(0) where no kernel reaches
            densities = np.log(np.exp(weighted - highest[:, np.newaxis]).sum(axis=1)) + highest
        repeated: Floats = densities[which.ravel()]
        return repeated


def _has_few_values(dimension: Any) -> bool:
    if isinstance(dimension, _BatchedCategoricalDistributions):
        return True
    return bool(dimension.step) and (dimension.high - dimension.low) / dimension.step < MOST_STEPS


def _integrated(dimension: Any, mu: Floats, sigma: Floats) -> Floats:
    """The logarithms of the integrals of kernels, of shape (kernels, steps + 1)."""
    low, high, step = dimension.low, dimension.high, dimension.step
    values = np.clip(low + np.arange(1 + round((high - low) / step)) * step, low, high)
    left, right = (
        np.log(edge) if dimension.is_log else edge for edge in (values - step / 2, values + step / 2)
    )
    left, right = np.append(left, dimension.adapted_low), np.append(right, dimension.adapted_high)
    mu, sigma = mu[:, np.newaxis], sigma[:, np.newaxis]
    masses: Floats = _log_gauss_mass((left - mu) / sigma, (right - mu) / sigma)
    return masses
