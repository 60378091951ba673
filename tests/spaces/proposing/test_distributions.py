"""Distributions: what they hold, how they are asked for, and back."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lossweep.spaces.proposing.distributions import (
    Choice,
    Outside,
    Range,
    is_distribution,
    parameters_of,
    suggest,
)

RANGES = {
    "continuous": Range(low=0.1, high=0.7),
    "log": Range(low=1e-5, high=1e-1, log=True),
    "steps": Range(low=0.2, high=1.0, step=0.1),
    "uneven steps": Range(low=0.0, high=1.0, step=0.3),
    "levels": Range(low=0.0, high=1.0, levels=7),
    "log levels": Range(low=1e-4, high=1e-2, log=True, levels=9),
    "odd log levels": Range(low=3e-7, high=0.02, log=True, levels=11),
    "narrow log levels": Range(low=0.99, high=1.01, log=True, levels=3),
    "one step": Range(low=1.0, high=1.5, step=2.0),
    "one value": Range(low=2, high=2),
}


def test_values() -> None:
    assert RANGES["steps"].values() == (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert RANGES["uneven steps"].values() == (0.0, 0.3, 0.6, 0.9)
    assert RANGES["levels"].values() == (0.0, 0.167, 0.333, 0.5, 0.667, 0.833, 1.0)
    expected = (1e-4, 1.78e-4, 3.16e-4, 5.62e-4, 1e-3, 1.78e-3, 3.16e-3, 5.62e-3, 1e-2)
    assert RANGES["log levels"].values() == expected
    assert RANGES["continuous"].values() is None
    # As many digits as it takes to tell them apart.
    assert Range(low=100000, high=100010, levels=6).values() == (
        100000,
        100002,
        100004,
        100006,
        100008,
        100010,
    )


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_whatever_is_drawn_is_found_again(name: str, sampler: str) -> None:
    spread = RANGES[name]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[str, Any] = {
        "random": optuna.samplers.RandomSampler(seed=0),
        "tpe": optuna.samplers.TPESampler(seed=0, n_startup_trials=5),
    }
    study = optuna.create_study(sampler=samplers[sampler])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(25):
            trial = study.ask()
            value = suggest(spread, trial, "p.x")
            values = spread.values()
            assert spread.low <= value <= spread.high
            assert values is None or value in values
            parameters = dict(parameters_of(spread, value, "p.x"))
            assert parameters == pytest.approx(trial.params)
            assert suggest(spread, optuna.trial.FixedTrial(parameters), "p.x") == value
            study.tell(trial, value)


@settings(max_examples=100)
@given(st.floats(1e-6, 1e3), st.floats(1.0001, 1e6), st.integers(2, 40), st.booleans())
def test_levels_lie_evenly_between_the_ends(low: float, factor: float, levels: int, log: bool) -> None:
    spread = Range(low=low, high=low * factor, log=log, levels=levels)
    values = spread.values()
    assert values is not None
    assert len(values) == levels
    assert (values[0], values[-1]) == (spread.low, spread.high)
    assert list(values) == sorted(set(values))
    for value in values:
        (asked,) = parameters_of(spread, value, "x").values()
        assert suggest(spread, optuna.trial.FixedTrial({spread_name(log): asked}), "x") == value


def spread_name(log: bool) -> str:
    return "log10_x" if log else "x"


def test_choices() -> None:
    choice = Choice(choice=("a", 1, 2.5, None, True, [1, 2]))
    for value in choice.choice:
        parameters = dict(parameters_of(choice, value, "x"))
        assert suggest(choice, optuna.trial.FixedTrial(parameters), "x") == value
    assert suggest(Choice(choice=("only",)), optuna.trial.FixedTrial({}), "x") == "only"
    assert parameters_of(Choice(choice=("only",)), "only", "x") == {}
    with pytest.raises(Outside, match='"b" is not among a, 1'):
        parameters_of(choice, "b", "x")


def test_whole_numbers() -> None:
    spread = Range(low=1, high=8, step=3)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {suggest(spread, study.ask(), "n", whole=True) for _ in range(40)}
    assert drawn == {1, 4, 7}
    assert parameters_of(spread, 4, "n", whole=True) == {"n": 4}
    with pytest.raises(Outside, match=r"5 is not in 1\.\.8 in steps of 3"):
        parameters_of(spread, 5, "n", whole=True)


@pytest.mark.parametrize(
    ("spread", "value"),
    [
        (RANGES["continuous"], 0.71),
        (RANGES["steps"], 0.25),
        (RANGES["log levels"], 2e-4),
        (RANGES["one value"], 3.0),
        (RANGES["steps"], "0.2"),
        (0.5, 0.25),
        ("cosine", "constant"),
    ],
)
def test_values_outside_are_refused(spread: Any, value: Any) -> None:
    with pytest.raises(Outside):
        parameters_of(spread, value, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"low": 2, "high": 1}, "low is above high"),
        ({"low": 0, "high": 1, "log": True}, "a logarithmic range starts above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "has levels, not steps"),
        ({"low": 1, "high": 2, "levels": 3, "step": 1}, "step and levels exclude each other"),
        ({"low": 1, "high": 2, "step": 0}, "greater than 0"),
        ({"low": 1, "high": 2, "levels": 1}, "greater than or equal to 2"),
        ({"low": 1, "high": float("inf")}, "finite"),
        ({"low": 1}, "Field required"),
        ({"low": 1, "high": 2, "hi": 3}, "Extra inputs"),
    ],
)
def test_wrong_ranges_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Range(**data)


@pytest.mark.parametrize("choices", [[], [1, 1], [{"a": 1}, {"a": 1}]])
def test_wrong_choices_are_refused(choices: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Choice(choice=choices)


def test_what_is_a_distribution() -> None:
    assert is_distribution({"low": 1, "high": 2, "stp": 1})
    assert is_distribution({"choice": []})
    assert not is_distribution({"choice": [], "other": 1})
    assert not is_distribution({"low": 1})
    assert not is_distribution([1, 2])
