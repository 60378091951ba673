from __future__ import annotations

import random

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.proposals import Mirror
from lossweep.search.sampling.steady_tpe import SteadyTPESampler
from lossweep.spaces.seeds import short_seed
from tests.search.sweeps import SmallSpace


class Stock(TPESampler):
    def reseed(self, seed: int) -> None:
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)


class Fixed(Sampling):
    """The sampling of a sweep with the sampler given."""

    def __init__(self, sampler) -> None:
        super().__init__(SamplerSpec(), 0, 1)
        self._given = sampler

    def sampler(self, number: int):
        self._given.reseed(short_seed(0, number))
        return self._given


def proposals(sampler, seed: int, direction: str, liar: bool, trials: int = 60) -> list[dict]:
    """What is proposed in a sweep whose trials end in every way and out of order."""
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        made = sampler(multivariate=True, group=True, constant_liar=liar, n_startup_trials=8, seed=0)
    mirror = Mirror([direction], SmallSpace(), Fixed(made))
    dice = random.Random(seed)
    found, running = [], []
    for _ in range(trials):
        trial = mirror.propose()[1]
        found.append(dict(trial.params))
        running.append(trial.number)
        while running and dice.random() < 0.6:
            number = running.pop(dice.randrange(len(running)))
            end = dice.random()
            value = round(dice.random(), 1)  # ties included
            if end < 0.5:
                mirror.finish(number, TrialState.COMPLETE, [value], {1: value}, {})
            elif end < 0.75:
                reported = {dice.randint(1, 3): value} if dice.random() < 0.8 else {}
                mirror.finish(number, TrialState.PRUNED, None, reported, {})
            elif end < 0.9:
                mirror.finish(number, TrialState.PRUNED, None, {}, {"diverged": 1 + value})
            elif end < 0.95:
                mirror.finish(number, TrialState.FAIL, None, {}, {})
            else:
                mirror.set_state(number, TrialState.WAITING)
    return found


@pytest.mark.parametrize("liar", [True, False])
@pytest.mark.parametrize(("seed", "direction"), [(0, "maximize"), (1, "minimize"), (2, "maximize")])
def test_the_same_proposals_as_stock_tpe(seed: int, direction: str, liar: bool) -> None:
    steady = proposals(SteadyTPESampler, seed, direction, liar)
    assert steady == proposals(Stock, seed, direction, liar)
    assert len({str(params) for params in steady}) > 40
