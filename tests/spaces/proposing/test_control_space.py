"""The space of the search for the control."""

from __future__ import annotations

import optuna
import pytest

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.proposing.control_space import DEFAULT_RATES, PREFIX, ControlSpace, control_rates
from lossweep.spaces.proposing.distributions import Range
from lossweep.spaces.proposing.space_spec import SpaceSpec
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.schedule import LossSchedule

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
SPACE = ControlSpace(DEFAULT_RATES, 12, PRIOR, warmup_steps=(0, 50))


def test_every_proposal_is_plain_and_comes_back_from_its_parameters() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    shapes, warm_ups = set(), set()
    for _ in range(60):
        trial = study.ask()
        schedule = SPACE.suggest(trial)
        assert is_plain(schedule)
        assert schedule.epochs == 12
        assert all(name.startswith(PREFIX) for name in trial.params)
        assert SPACE.parameters_of(schedule) == trial.params
        shapes.add(schedule.phases[0].shape)
        warm_ups.add(schedule.phases[0].warmup_steps)
    assert shapes == {"constant", "cosine", "drop"}
    assert warm_ups == {0, 50}


def test_it_begins_with_rates_that_are_spread_and_in_the_space() -> None:
    starts = list(SPACE.starts())
    rates = [start.phases[0].learning_rate for start in starts]
    assert rates[:4] == [1e-3, 3.16e-3, 3.16e-4, 5.62e-3]
    assert len(set(starts)) == len(starts)
    for start in starts:
        SPACE.parameters_of(start)


def test_starts_keep_to_the_shapes_that_are_allowed() -> None:
    space = ControlSpace(Range(low=1e-4, high=1e-2, log=True), 12, PRIOR, shapes=("constant",))
    starts = list(space.starts())
    assert {start.phases[0].shape for start in starts} == {"constant"}
    assert starts[0].phases[0].learning_rate == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "line", ["dice @1e-3 x12", "cross_entropy @2e-3 x12", "cross_entropy @1e-3 x12 warmup 7"]
)
def test_what_is_not_in_it_is_refused(line: str) -> None:
    with pytest.raises(UserError):
        SPACE.parameters_of(LossSchedule.parse(f"{line} | 12 epochs"))


def test_its_rates_are_all_that_the_space_allows_its_first_losses() -> None:
    assert control_rates(SpaceSpec(preset="cycling")) == DEFAULT_RATES
    everything = control_rates(SpaceSpec(preset="everything"))
    assert (everything.low, everything.high, everything.levels) == (1e-5, 1e-2, 13)
    own = SpaceSpec.model_validate(
        {
            "phases": [
                {
                    "learning_rate": {"low": 1e-4, "high": 1e-3, "log": True},
                    "losses": [
                        {"term": "dice"},
                        {"term": "focal", "learning_rate": {"low": 5e-4, "high": 5e-2, "log": True}},
                    ],
                }
            ]
        }
    )
    assert control_rates(own) == Range(low=1e-4, high=5e-2, log=True)
    fixed = SpaceSpec.model_validate({"phases": [{"learning_rate": 1e-3, "losses": [{"term": "dice"}]}]})
    assert control_rates(fixed) == DEFAULT_RATES
