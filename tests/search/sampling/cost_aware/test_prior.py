"""Where good values usually lie, as a distribution."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lossweep.search.sampling.cost_aware.drawing import Drawn
from lossweep.search.sampling.cost_aware.prior import TRUST, WEIGHT, Prior, fading, prior_of
from lossweep.spaces.schedules.schedule import LossSchedule

KINDS: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "step": FloatDistribution(0.0, 4.0, step=0.5),
    "count": IntDistribution(0, 9),
    "word": CategoricalDistribution(("a", "b", "c", "d")),
}
USUAL = {"rate": (1e-3,), "step": (2.0,), "count": (3, 6), "word": ("c",)}
SCHEDULE = LossSchedule.parse("focal @1e-3 x4")


def even(name: str, kind: BaseDistribution) -> object:
    """What is drawn otherwise: something that is never usual."""
    return {"rate": 1e-2, "step": 4.0, "count": 9, "word": "a"}[name]


@pytest.mark.parametrize("name", KINDS)
def test_most_draws_keep_near_what_is_usual_and_within_the_range(name: str) -> None:
    answer = Prior(USUAL).answer(np.random.RandomState(1), even)
    drawn = [answer(name, KINDS[name]) for _ in range(600)]
    assert all(KINDS[name]._contains(KINDS[name].to_internal_repr(value)) for value in drawn)
    elsewhere = sum(value == even(name, KINDS[name]) for value in drawn) / len(drawn)
    assert 1.0 - TRUST - 0.06 < elsewhere < 1.0 - TRUST + 0.1  # a normal's tail may end there as well
    if name == "rate":
        near = [math.log10(value) for value in drawn if value != 1e-2]
        assert statistics.mean(near) == pytest.approx(-3.0, abs=0.06)


def test_what_nobody_says_anything_of_is_drawn_otherwise() -> None:
    assert Prior({}).answer(np.random.RandomState(1), even)("word", KINDS["word"]) == "a"


def drawn(**parameters: object) -> Drawn:
    return Drawn(SCHEDULE, parameters, {name: KINDS[name] for name in parameters})


def test_usual_values_are_likelier_and_none_is_ruled_out() -> None:
    prior = Prior(USUAL)
    best = prior.log_ratio(drawn(rate=1e-3, word="c"))
    near = prior.log_ratio(drawn(rate=2e-3, word="c"))
    far = prior.log_ratio(drawn(rate=1e-2, word="a"))
    assert best > near > 0.0 > far > -math.inf
    assert prior.log_ratio(drawn(word="c")) == pytest.approx(math.log(1.0 - TRUST + TRUST * 4))


@pytest.mark.parametrize("name", ["rate", "count"])
def test_the_density_sums_to_about_one(name: str) -> None:
    """Against the even one; what lies beyond the ends is lost."""
    kind, prior = KINDS[name], Prior({name: (1e-3,) if name == "rate" else (4,)})
    values = np.geomspace(1e-4, 1e-2, 400) if name == "rate" else np.linspace(0, 9, 400)
    mean = np.mean([math.exp(prior.log_ratio(drawn(**{name: float(value)}))) for value in values])
    assert mean == pytest.approx(1.0, abs=0.02), kind


def test_its_say_fades() -> None:
    assert [fading(n) for n in (0, 5, 10, 20, 100)] == [1.0, 1.0, 1.0, WEIGHT / 20, WEIGHT / 100]


def test_a_space_that_says_nothing_has_an_even_one() -> None:
    assert prior_of(None).log_ratio(drawn(word="c")) == 0.0
