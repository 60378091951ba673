"""Where good values usually lie, beside a distribution."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml, validate
from lossweep.spaces.proposing.distributions import Choice, Range, usual_of
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))


def space(**changes: Any) -> ScheduleSpace:
    return ScheduleSpace(SpaceSpec.model_validate({"preset": "cycling", **changes}), 12, PRIOR)


def test_one_value_or_several() -> None:
    assert Range(low=0, high=4, usual=2).usual == (2,)
    assert Range.model_validate({"low": 0, "high": 4, "usual": [1, 2]}).usual == (1, 2)
    assert Choice.model_validate({"choice": ["drop", "cosine"], "usual": "drop"}).usual == ("drop",)


def test_they_are_had_as_parameters_are_asked_for() -> None:
    rate = Range(low=1e-4, high=1e-2, log=True, levels=9, usual=(3e-3, 3.3e-3))
    assert usual_of(rate, "phase0.focal.learning_rate") == {"phase0.focal.log10_learning_rate": (-2.5,)}
    assert usual_of(Range(low=0, high=4, usual=3), "cycles", whole=True) == {"cycles": (3,)}
    assert usual_of(Choice(choice=(False, True), usual=(True,)), "a") == {"a": (True,)}
    assert usual_of(Range(low=0, high=4), "a") == usual_of(2.0, "a") == {}


def test_a_preset_says_them() -> None:
    usual = space().usual()
    assert usual["phase0.focal.gamma"] == (2.0,)
    assert usual["phase0.cross_entropy_dice.dice.log10_weight"] == (0.0,)
    assert set(usual["phase0.loss"]) == {"weighted_ce", "cross_entropy_dice"}
    assert usual["phase1.loss"] == ("jaccard",)


def test_a_sweep_file_may_say_others() -> None:
    gamma = {"low": 1.0, "high": 3.0, "step": 0.5, "usual": [1.0, 2.5]}
    usual = space(parameters={"focal": {"gamma": gamma}}).usual()
    assert usual["phase0.focal.gamma"] == (1.0, 2.5)


def test_what_is_usual_is_proposed_as_before() -> None:
    """A hint changes no distribution: the same parameters suggest the same schedules."""
    hinted, bare = Range(low=0, high=4, step=1, usual=2), Range(low=0, high=4, step=1)
    assert hinted.values() == bare.values()
    assert hinted.parameters_of(3.0, "a") == bare.parameters_of(3.0, "a")


@pytest.mark.parametrize(
    ("phase", "found"),
    [
        ("gamma: {low: 1, high: 3, usual: 5}", "5"),
        ("gamma: {choice: [1, 2], usual: 3}", "3"),
        ("gamma: {low: 1, high: 3, usual: [2, 0.5]}", "0.5"),
    ],
)
def test_a_usual_value_outside_is_refused_with_its_line(phase: str, found: str) -> None:
    text = f"learning_rate: 1e-3\nphases:\n  - losses:\n      - term: focal\n        {phase}\n"
    with pytest.raises(UserError) as caught:
        validate(SpaceSpec, parse_yaml(text, "space.yaml"))
    assert "gamma.usual" in str(caught.value)
    assert found in str(caught.value)


def test_what_a_budget_holds_no_more_is_not_usual() -> None:
    cycles = {"low": 0, "high": 4, "usual": [1, 4]}
    short = ScheduleSpace(SpaceSpec.model_validate({"preset": "cycling", "cycles": cycles}), 4, PRIOR)
    assert short.usual()["cycles"] == (1,)
    with pytest.raises(ValidationError):
        Range(low=0, high=1, usual=2)
