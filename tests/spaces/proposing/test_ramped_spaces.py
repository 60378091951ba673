"""Spaces whose losses ramp: both ends are searched, and found again."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.files.yaml_source import parse_yaml, validate
from lossweep.spaces.losses.ramp import Ramp
from lossweep.spaces.losses.terms import Focal
from lossweep.spaces.proposing.loss_space import AroundPrior
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule

BINARY = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
THREE = ClassPrior(names=("background", "vehicle", "ship"), frequencies=(0.9, 0.08, 0.02))
optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = """
cycles: {low: 0, high: 2}
phases:
  - losses:
      - sum:
          - {loss: {term: cross_entropy}}
          - loss: {term: dice}
            weight:
              from: {low: 0.01, high: 1, log: true}
              to: {choice: [1, 2]}
              shape: {choice: [linear, cosine]}
      - term: focal
        gamma: {from: {low: 0, high: 2, step: 1}, to: {low: 0, high: 2, step: 1}}
        alpha: {from: {around_prior: {low: 0, high: 1, step: 0.5}}, to: {around_prior: 0.5}}
      - term: focal
        gamma: {choice: [2.0, {from: 0, to: 2, shape: linear}, {from: 0, to: 3, shape: cosine}]}
      - term: weighted_ce
        weights:
          power:
            from: {low: 0, high: 1, levels: 3}
            to: {low: 0.1, high: 1, log: true, levels: 3}
            shape: cosine
      - {term: tversky, alpha: {from: 0.7, to: 0.3}, beta: {from: 0.3, to: 0.7}}
    learning_rate: 1e-3
  - losses: [{term: jaccard}]
    learning_rate: 1e-4
"""


def space_of(prior: ClassPrior, text: str = SPACE) -> ScheduleSpace:
    return ScheduleSpace(validate(SpaceSpec, parse_yaml(text)), 12, prior)


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([BINARY, THREE]))
def test_what_ramps_is_found_again(seed: int, prior: ClassPrior) -> None:
    space = space_of(prior)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    schedule = space.suggest(trial)
    found = space.parameters_of(schedule)
    assert space.suggest(optuna.trial.FixedTrial(found)) == schedule
    # Where both ends came out alike, no parameter is left to tell which way it would have gone.
    assert found.keys() <= trial.params.keys() | {
        name.rpartition(".")[0] + ".shape" for name in trial.params if name.endswith(".from")
    }
    assert LossSchedule.parse(str(schedule)) == schedule


def asked(prior: ClassPrior, label: str) -> set[str]:
    names: set[str] = set()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        trial = study.ask()
        space_of(prior).suggest(trial)
        names |= {name for name in trial.params if name.startswith(f"phase0.{label}.")}
    return names


def test_each_end_has_a_name_of_its_own() -> None:
    assert asked(BINARY, "cross_entropy_dice") == {
        f"phase0.cross_entropy_dice.dice.weight.{part}" for part in ("from", "to", "shape")
    }
    assert asked(BINARY, "weighted_ce") == {
        "phase0.weighted_ce.power.from",
        "phase0.weighted_ce.power.log10_to",
    }
    assert asked(BINARY, "focal") == {
        "phase0.focal.gamma.from",
        "phase0.focal.gamma.to",
        "phase0.focal.alpha.from.around_prior",
    }
    assert asked(THREE, "focal") == {
        "phase0.focal.gamma.from",
        "phase0.focal.gamma.to",
        "phase0.focal.power.from",
    }, "with more classes, alpha's ramp is one of the power of class weights"


def test_alpha_ramps_between_what_lies_around_the_prior() -> None:
    answers = {
        "cycles": 0,
        "phase0.loss": "focal",
        "phase0.focal.gamma.from": 2.0,
        "phase0.focal.gamma.to": 1.0,
        "phase0.focal.alpha.from.around_prior": 1.0,
    }
    loss = space_of(BINARY).suggest(optuna.trial.FixedTrial(answers)).phases[0].loss
    ends = [AroundPrior.alpha(power, BINARY) for power in (1.0, 0.5)]
    assert loss == Focal(gamma=Ramp(2.0, 1.0), alpha=Ramp(*ends))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("focal(gamma=0..1.5, alpha=0.5..0.9087)", "gamma.to"),
        ("tversky(alpha=cosine(0.7..0.3), beta=0.3..0.7)", "not in the space's tversky"),
        ("tversky(alpha=0.7, beta=0.3..0.7)", "0.7 is not 0.3"),
        ("weighted_ce(power=0.1..0.5)", "power.from"),
    ],
)
def test_ramps_outside_are_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        space_of(BINARY).parameters_of(LossSchedule.parse(f"{line} @1e-3 x12"))


@pytest.mark.parametrize(
    ("right", "wrong", "key", "message"),
    [
        (
            "gamma: {from: {low: 0, high: 2,",
            "gamma: {from: {low: 0, high: 9,",
            "[1].gamma.from",
            "is out of range",
        ),
        (
            "{low: 0.01, high: 1, log: true}",
            "{low: -1, high: 1}",
            "[0].sum[1].weight.from",
            "is out of range",
        ),
        ("to: {around_prior: 0.5}", "to: 0.5", "[1].alpha", "both ends"),
        ("from: {low: 0, high: 1, levels: 3}", "form: 0", "[3].weights.power.from", "is missing"),
        ("{from: 0, to: 2, shape: linear}", "{from: 0, to: 7}", "[2].gamma.to", "is out of range"),
        (
            "{from: 0, to: 2, shape: linear}",
            "{from: 0, to: 3, shape: cosine}",
            "[2].gamma.choice[2]",
            "twice",
        ),
    ],
)
def test_wrong_ramps_are_named_where_they_stand(right: str, wrong: str, key: str, message: str) -> None:
    assert right in SPACE
    with pytest.raises(UserError) as raised:
        space_of(BINARY, SPACE.replace(right, wrong, 1))
    problem = raised.value.problems[0]
    assert (problem.key or "").startswith(f"phases[0].losses{key}"), problem
    assert message in problem.message


def test_a_winner_with_a_ramp_is_refitted_and_its_ramp_takes_the_new_length() -> None:
    schedule = LossSchedule.parse(
        "tversky(alpha=0.7..0.3, beta=0.3..0.7) @1e-3 x3 -> jaccard @1e-4 x3 | 6 epochs"
    )
    refitted = space_of(BINARY).refitted(schedule)
    assert refitted.phases[0].loss == schedule.phases[0].loss
    assert [phase.epochs for phase in refitted.phases] == [6, 6]
    assert (
        space_of(BINARY).suggest(optuna.trial.FixedTrial(space_of(BINARY).parameters_of(refitted)))
        == refitted
    )


def test_a_users_own_parameters_called_from_and_to_are_the_users() -> None:
    text = """
learning_rate: 1e-3
phases:
  - losses:
      - term: "a.b:C"
        parameters: {span: {from: 1, to: {low: 2, high: 9}}, pick: {choice: [{from: 1, to: 1}]}}
"""
    trial = optuna.trial.FixedTrial({"phase0.C.parameters.span.to": 4})
    loss = space_of(BINARY, text).suggest(trial).phases[0].loss
    assert loss.parameters == {"span": {"from": 1, "to": 4}, "pick": {"from": 1, "to": 1}}
    line = 'a.b:C(span={"from": 1, "to": 4}, pick={"from": 1, "to": 1}) @1e-3 x12'
    found = space_of(BINARY, text).parameters_of(LossSchedule.parse(line))
    assert found == {"phase0.C.parameters.span.to": 4}


def test_a_parameter_of_a_preset_can_become_a_ramp() -> None:
    text = "{preset: focal, losses: [focal], parameters: {focal: {gamma: {from: 0, to: {low: 1, high: 3}}}}}"
    space = space_of(BINARY, text)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    schedule = space.suggest(trial)
    loss = schedule.phases[0].loss
    assert isinstance(loss, Focal)
    assert loss.gamma == Ramp(0.0, trial.params["phase0.focal.gamma.to"])
    found = space.parameters_of(schedule)
    assert space.suggest(optuna.trial.FixedTrial(found)) == schedule
