"""What Optuna asks of any sampler, asked of ours and of others that a sweep names: a share of its suite."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.steady_tpe import SteadyTPESampler

DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "float": FloatDistribution(-1.0, 1.0),
    "log": FloatDistribution(1e-7, 1.0, log=True),
    "step": FloatDistribution(-10.0, 10.0, step=0.1),
    "narrow": FloatDistribution(0.3, 0.3),
    "integer": IntDistribution(-10, 10),
    "log integer": IntDistribution(1, 100, log=True),
    "step integer": IntDistribution(-10, 8, step=2),
    "single integer": IntDistribution(4, 4),
    "category": CategoricalDistribution((1, 1.5, "two", None, True)),
    "single category": CategoricalDistribution(("only",)),
}


def steady() -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SteadyTPESampler(multivariate=True, group=True, n_startup_trials=3, seed=0)


def named(name: str) -> Callable[[], BaseSampler]:
    return lambda: Sampling(SamplerSpec(sampler=name, startup=3), 0, 1).sampler(0)


SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "steady": steady,
    "tpe": named("tpe"),
    "random": named("random"),
    "nsga2": named("nsga2"),
}
each = pytest.mark.parametrize("made", SAMPLERS.values(), ids=SAMPLERS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def within(distribution: BaseDistribution, value: Any) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    return trial._suggest(name, distribution)


@each
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_is_kept_to(made: Callable[[], BaseSampler], name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    study = optuna.create_study(sampler=made())

    def objective(trial: optuna.Trial) -> float:
        value = suggest(trial, "x", distribution)
        assert within(distribution, value)
        return float(value) if isinstance(value, int | float) else 0.5

    study.optimize(objective, n_trials=8)
    assert len(study.trials) == 8


@each
def test_ranges_may_change_from_trial_to_trial(made: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(sampler=made())
    for high in (1.0, 2.0, 0.5, 3.0, 0.25, 8.0):
        trial = study.ask()
        value = trial.suggest_float("x", 0.1, high)
        assert 0.1 <= value <= high
        study.tell(trial, value)


@each
def test_branches_have_their_own_parameters(made: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(sampler=made())

    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("loss", ["focal", "dice"]) == "focal":
            return trial.suggest_float("gamma", 0.0, 5.0)
        return trial.suggest_float("smooth", 1e-3, 1.0, log=True)

    study.optimize(objective, n_trials=16)
    own = {"focal": {"loss", "gamma"}, "dice": {"loss", "smooth"}}
    assert all(set(trial.params) == own[trial.params["loss"]] for trial in study.trials)


@each
def test_trials_that_failed_were_pruned_or_run_stop_no_proposal(made: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(sampler=made(), direction="maximize")
    ends: list[Callable[[optuna.Trial], object]] = [
        lambda trial: study.tell(trial, 1.0),
        lambda trial: study.tell(trial, state=TrialState.FAIL),
        lambda trial: study.tell(trial, math.inf),
        lambda trial: study.tell(trial, state=TrialState.PRUNED),
        lambda trial: (trial.report(math.nan, 1), study.tell(trial, state=TrialState.PRUNED)),
        lambda trial: (trial.report(math.inf, 2), study.tell(trial, state=TrialState.PRUNED)),
        lambda trial: None,
    ]
    for number in range(21):
        trial = study.ask()
        assert 0.0 <= trial.suggest_float("x", 0.0, 1.0) <= 1.0
        ends[number % len(ends)](trial)
    assert [trial.state for trial in study.trials].count(TrialState.RUNNING) == 3


@each
def test_what_was_enqueued_is_tried_as_it_stands(made: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(sampler=made())
    study.enqueue_trial({"x": 0.125})
    trial = study.ask()
    assert trial.suggest_float("x", 0.0, 1.0) == 0.125
    assert 0.0 <= trial.suggest_float("y", 0.0, 1.0) <= 1.0


@each
def test_the_same_seed_proposes_the_same(made: Callable[[], BaseSampler]) -> None:
    def values() -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=made())
        study.optimize(lambda trial: sum(suggest(trial, n, DISTRIBUTIONS[n]) for n in ("log", "integer")), 8)
        return [trial.params for trial in study.trials]

    assert values() == values()


@each
def test_a_new_seed_proposes_something_else(made: Callable[[], BaseSampler]) -> None:
    sampler, other = made(), made()
    other.reseed_rng()
    values = []
    for each_sampler in (sampler, other):
        study = optuna.create_study(sampler=each_sampler)
        values.append([study.ask().suggest_float("x", 0.0, 1.0) for _ in range(3)])
    assert values[0] != values[1]


@each
def test_several_objectives(made: Callable[[], BaseSampler]) -> None:
    study = optuna.create_study(sampler=made(), directions=["minimize", "maximize"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), 12)
    assert all(len(trial.values) == 2 for trial in study.trials)
    assert study.best_trials


@each
def test_the_space_that_is_read_from_a_study_is_that_of_its_trials(made: Callable[[], BaseSampler]) -> None:
    sampler = made()
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3), 6)
    space = sampler.infer_relative_search_space(study, _frozen(study))
    assert set(space) <= {"x", "n"}


def _frozen(study: optuna.Study) -> FrozenTrial:
    return study._storage.get_trial(study.ask()._trial_id)
