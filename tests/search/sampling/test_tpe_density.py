from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from lossweep.search.sampling import tpe_density
from lossweep.search.sampling.tpe_density import MOST_STEPS, Density, Integrals

DISTRIBUTIONS: list[BaseDistribution] = [
    CategoricalDistribution(("a", "b", "c")),
    CategoricalDistribution((True, False)),
    FloatDistribution(-5.0, -1.0, step=0.25),
    FloatDistribution(0.1, 0.9, step=0.1),
    FloatDistribution(-0.60206, 0.60206, step=0.30103),
    IntDistribution(0, 4),
    IntDistribution(1, 40, log=True),
    IntDistribution(0, MOST_STEPS),
    IntDistribution(0, 1000),
    FloatDistribution(1e-5, 1e-1, log=True),
    FloatDistribution(-1.0, 1.0),
]
SETTINGS = _ParzenEstimatorParameters(
    prior_weight=1.0,
    consider_magic_clip=True,
    consider_endpoints=False,
    weights=default_weights,
    multivariate=True,
)

spaces = st.lists(st.sampled_from(DISTRIBUTIONS), min_size=1, max_size=4).map(
    lambda chosen: {str(index): each for index, each in enumerate(chosen)}
)


def drawn(dice: np.random.RandomState, distribution: BaseDistribution, count: int) -> np.ndarray:
    """Values as a sampler sees them."""
    if isinstance(distribution, CategoricalDistribution):
        return dice.randint(len(distribution.choices), size=count).astype(float)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step:
        return low + dice.randint(1 + round((high - low) / step), size=count) * step
    return (
        np.exp(dice.uniform(np.log(low), np.log(high), count))
        if distribution.log
        else dice.uniform(low, high, count)
    )


@settings(max_examples=60)
@given(spaces, st.integers(0, 2**31), st.sampled_from([0, 1, 3, 30, 200]))
def test_every_float_is_optunas(space: dict[str, BaseDistribution], seed: int, trials: int) -> None:
    dice, integrals = np.random.RandomState(seed), Integrals()
    for more in (0, 1, 0):  # the second time new kernels beside kept ones, the third time kept ones alone
        observed = {name: drawn(dice, each, trials + more) for name, each in space.items()}
        ours = Density(observed, space, SETTINGS, integrals)
        stock = _ParzenEstimator(observed, space, SETTINGS)
        candidates = stock.sample(np.random.RandomState(seed), 24)
        np.testing.assert_array_equal(ours.log_pdf(candidates), stock.log_pdf(candidates))


def test_integrals_are_kept_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpe_density, "MOST_KEPT", 10)
    computed = []
    integrated = tpe_density._integrated
    monkeypatch.setattr(
        tpe_density, "_integrated", lambda d, mu, sigma: computed.append(len(mu)) or integrated(d, mu, sigma)
    )
    space = {"x": IntDistribution(0, 20)}
    observed = {"x": np.arange(21.0)}
    density = Density(observed, space, SETTINGS, Integrals())
    first = density.log_pdf({"x": np.arange(5.0)})
    assert computed == [22]  # one for each trial and the prior's
    np.testing.assert_array_equal(density.log_pdf({"x": np.arange(5.0)}), first)
    assert computed == [22, 22]  # thrown away as there were more than ten
