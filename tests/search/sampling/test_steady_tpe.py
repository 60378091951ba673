from __future__ import annotations

import copy
import logging
import pickle
import random
import sys
from collections.abc import Iterator

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.proposals import Mirror
from lossweep.search.sampling.steady_tpe import SteadyTPESampler, TrialTable
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
    found, running, paused = [], [], []
    for _ in range(trials):
        if paused and dice.random() < 0.3:
            number = paused.pop(dice.randrange(len(paused)))
            if dice.random() < 0.5:
                mirror.set_state(number, TrialState.RUNNING)
                running.append(number)
            else:
                mirror.finish(number, TrialState.PRUNED, None, {1: 0.3}, {})
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
            elif end < 0.93:
                mirror.finish(number, TrialState.FAIL, None, {}, {})
            elif end < 0.97:
                mirror.pause(number, {2: value}, {"recall": value - 0.7})
                paused.append(number)
            else:
                mirror.set_state(number, TrialState.WAITING)
    return found


@pytest.mark.parametrize("liar", [True, False])
@pytest.mark.parametrize(("seed", "direction"), [(0, "maximize"), (1, "minimize"), (2, "maximize")])
def test_the_same_proposals_as_stock_tpe(seed: int, direction: str, liar: bool) -> None:
    steady = proposals(SteadyTPESampler, seed, direction, liar)
    assert steady == proposals(Stock, seed, direction, liar)
    assert len({str(params) for params in steady}) > 40


def branching(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["plain", "focal", "tversky"])
    if kind == "focal":
        return x - trial.suggest_float("gamma", 0, 5, step=0.5)
    if kind == "tversky":
        return x + trial.suggest_float("alpha", 0, 1)
    return x**2


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns at every few instructions, so that what may go wrong does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


OPTIONS = {"multivariate": True, "group": True, "n_startup_trials": 4}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("liar", [True, False])
def test_threads_may_share_it(liar: bool, restless: None) -> None:
    for seed in range(6):
        sampler = SteadyTPESampler(**OPTIONS, constant_liar=liar, seed=seed)
        study = optuna.create_study(sampler=sampler)
        study.optimize(branching, n_trials=30, n_jobs=4)
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 30
        branching(study.ask())
        anew = TrialTable()
        ended = anew.read(study.trials[:30], 1.0)
        for mine, other in zip(sampler._table.split(5), anew.split(5), strict=True):
            np.testing.assert_array_equal(mine, other)
        for names in {frozenset(trial.distributions.items()) for trial in ended}:
            mine, other = (t.observations(np.arange(30), dict(names)) for t in (sampler._table, anew))
            for name, column in other.items():
                np.testing.assert_array_equal(mine[name], column)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_it_is_pickled_and_copied_as_stock_tpe_is() -> None:
    study = optuna.create_study(sampler=SteadyTPESampler(**OPTIONS, seed=3))
    study.optimize(branching, n_trials=12)
    kept, copied = pickle.loads(pickle.dumps(study.sampler)), copy.deepcopy(study.sampler)
    study.optimize(branching, n_trials=5)
    for sampler in (kept, copied):
        other = optuna.create_study(sampler=sampler)
        other.add_trials(study.trials[:12])
        other.optimize(branching, n_trials=5)
        assert [trial.params for trial in other.trials] == [trial.params for trial in study.trials]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("group", [True, False])
@pytest.mark.parametrize("warn", [True, False])
def test_independent_sampling_is_warned_of_as_by_stock_tpe(
    group: bool, warn: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    said = []
    for kind in (TPESampler, SteadyTPESampler):
        caplog.clear()
        options = {**OPTIONS, "group": group, "warn_independent_sampling": warn, "seed": 1}
        study = optuna.create_study(sampler=kind(**options))
        study.optimize(branching, n_trials=20)
        for high in (0.5, 0.3):  # a range that changes is sampled on its own, groups or not
            study.optimize(lambda trial, high=high: trial.suggest_float("x", 0, high), n_trials=5)
        said.append([record.message for record in caplog.records if "independently" in record.message])
    stock, steady = said
    assert steady == [message.replace("TPESampler", "SteadyTPESampler") for message in stock]
    assert bool(steady) is warn
