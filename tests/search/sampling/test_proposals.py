"""The study as samplers see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.proposals import Direction, Mirror
from lossweep.search.study.record import CONFIRMS, CONTROL, DIVERGED, END, PAUSED
from tests.search.sweeps import SmallSpace

BOTH: tuple[Direction, ...] = ("maximize", "minimize")


def mirror(directions: Sequence[Direction], sampler: str = "nsga2") -> Mirror:
    return Mirror(directions, SmallSpace(), Sampling(SamplerSpec(sampler=sampler), 0, len(directions)))


def seen(made: Mirror) -> list[FrozenTrial]:
    return made._study.get_trials(deepcopy=False)


def ended(made: Mirror, *values: float, **violations: float) -> None:
    """Propose a trial and let it end."""
    made.propose()
    state = TrialState.PRUNED if DIVERGED in violations else TrialState.COMPLETE
    made.finish(len(seen(made)) - 1, state, None if DIVERGED in violations else values, {}, violations)


def recorded(*values: float, state: TrialState = TrialState.COMPLETE, **more: Any) -> FrozenTrial:
    return create_trial(state=state, values=list(values) or None, **more)


def diverged() -> FrozenTrial:
    return recorded(state=TrialState.PRUNED, system_attrs={f"constraints:{DIVERGED}": 1.5})


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("directions", "completed", "worst"),
    [
        (("minimize",), [(0.25,), (3.0,), (0.5,)], [3.0]),  # an error may be more than 1
        (("minimize",), [(0.25,)], [1.0]),
        (("minimize",), [], [1.0]),
        (("maximize",), [(0.25,), (0.5,)], [0.0]),
        (BOTH, [(0.5, 2.0), (0.9, 7.5)], [0.0, 7.5]),
        (("minimize", "maximize"), [(4.0, 9.0)], [4.0, 0.0]),
    ],
)
def test_what_diverged_is_no_better_than_the_worst(
    directions: tuple[Direction, ...],
    completed: list[tuple[float, ...]],
    worst: list[float],
    resumed: bool,
) -> None:
    """To a sampler that reads completed trials alone, in this driver and in the next one."""
    made = mirror(directions)
    if resumed:
        made.load([*(recorded(*values) for values in completed), diverged()])
    else:
        for values in completed:
            ended(made, *values)
        ended(made, **{DIVERGED: 1.5})
    last = seen(made)[-1]
    assert (last.state, last.values) == (TrialState.COMPLETE, worst)
    assert DIVERGED not in last.constraints


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sampler_that_knows_of_pruned_trials_sees_it_as_it_was(sampler: str) -> None:
    made = mirror(("minimize",), sampler)
    ended(made, **{DIVERGED: 1.5})
    made.load([diverged()])
    assert [trial.state for trial in seen(made)] == [TrialState.PRUNED] * 2
    assert [trial.constraints for trial in seen(made)] == [{DIVERGED: 1.5}] * 2


def test_other_constraints_stay_with_a_stand_in() -> None:
    made = mirror(("maximize",))
    ended(made, **{DIVERGED: 1.5, "recall >= 0.5": 0.25})
    assert seen(made)[0].constraints == {"recall >= 0.5": 0.25}


def test_failed_and_confirming_trials_hold_their_numbers_alone() -> None:
    made = mirror(("maximize",))
    params = {"cross_entropy.rate": 0.1}
    spread: Mapping[str, Any] = {"cross_entropy.rate": optuna.distributions.FloatDistribution(0.01, 1.0)}
    failed = create_trial(state=TrialState.FAIL, params=params, distributions=dict(spread))
    confirming = recorded(0.9, params=params, distributions=dict(spread), user_attrs={CONFIRMS: 0})
    made.load([failed, confirming, recorded(0.5, user_attrs={CONTROL: "ce"})])
    made.skip()
    assert [trial.state.name for trial in seen(made)] == ["FAIL", "FAIL", "COMPLETE", "FAIL"]
    assert [trial.params for trial in seen(made)] == [params, {}, {}, {}]
    assert made.propose()[1].number == 4


@pytest.mark.parametrize("resumed", [False, True])
def test_what_is_paused_is_pruned_to_samplers_until_it_ends(resumed: bool) -> None:
    made = mirror(("maximize",), "tpe")
    trial = made.propose()[1]
    reported, violated = {8: 0.2, 16: 0.3}, {"recall": 0.4}
    if resumed:
        waiting = create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            intermediate_values=reported,
            user_attrs={END: {"outcome": "paused", "reason": "", "figures": {}, "traceback": ""}},
            system_attrs={"constraints:recall": 0.4},
        )
        made = mirror(("maximize",), "tpe")
        made.load([waiting])
    else:
        made.pause(0, reported, violated)
    paused = seen(made)[0]
    assert (paused.state, paused.value, paused.intermediate_values) == (TrialState.PRUNED, 0.3, reported)
    assert (paused.params, paused.constraints) == (trial.params, violated)
    assert made.propose()[1].number == 1

    made.set_state(0, TrialState.RUNNING)
    running = seen(made)[0]
    assert (running.state, running.value, running.params) == (TrialState.RUNNING, None, trial.params)
    assert not running.constraints
    assert PAUSED not in running.system_attrs
    made.pause(0, {**reported, 24: 0.5}, {"recall": 0.1})
    assert seen(made)[0].value == 0.5
    made.finish(0, TrialState.COMPLETE, [0.9], {**reported, 24: 0.5, 32: 0.9}, {"recall": -0.1})
    done = seen(made)[0]
    assert (done.state, done.value, done.constraints) == (TrialState.COMPLETE, 0.9, {"recall": -0.1})
    assert PAUSED not in done.system_attrs
