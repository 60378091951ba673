"""Who leads: by feasibility, by the first metric, and where it ties by the later ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossweep.search.exporting.choice import Preference, choose
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.front import front_of
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import best_plain, leaders, ranked
from lossweep.search.upkeep.export import export_best
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from tests.search.sweeps import evaluation, schedule

BOTH = ("maximize", "minimize")


def trial(number: int, *values: float, term: str = "jaccard", feasible: bool = True) -> TrialHistory:
    step = evaluation(8, values[0], recall=values[0], count_error=values[-1], tuned_recall=values[0])
    return TrialHistory(
        number=number,
        schedule=schedule(term, rate=1e-3 * (1 + number)),
        seed=0,
        control=None,
        parameters={},
        outcome=OutcomeKind.COMPLETED,
        reason="",
        score=values[0],
        values=values,
        feasible=feasible,
        evaluations=(step,),
        scored_step=step.step,
    )


def sweep(*trials: TrialHistory) -> SweepHistory:
    """A sweep for the highest recall and the lowest count error that came to these trials."""
    objective = ObjectiveSpec(metrics=("recall", "count_error"))
    simulated = simulate_sweep(1, 0, objective=objective, sampler=SamplerSpec(sampler="nsga2"))
    return replace(simulated, trials=trials)


def numbers(trials: tuple[TrialHistory, ...]) -> list[int]:
    return [each.number for each in trials]


def test_where_the_first_metric_ties_the_next_one_decides_and_then_the_number() -> None:
    tied = [trial(0, 1.0, 0.9), trial(1, 1.0, 0.2), trial(2, 0.9, 0.0), trial(3, 1.0, 0.2)]
    assert numbers(ranked(tied, BOTH)) == [1, 3, 0, 2]
    assert numbers(ranked(tied, ("maximize", "maximize"))) == [0, 1, 3, 2]
    assert numbers(ranked(tied, ("minimize", "minimize"))) == [2, 1, 3, 0]
    first = replace(tied[1], feasible=False)
    assert numbers(ranked([first, *tied[2:]], BOTH)) == [3, 2, 1]


def test_with_one_metric_ties_go_to_the_earlier_trial() -> None:
    assert numbers(ranked([trial(1, 0.5), trial(0, 0.5), trial(2, 0.6)], ("maximize",))) == [2, 0, 1]


def test_the_winner_what_is_exported_confirmed_and_shown_is_one_and_on_the_front() -> None:
    history = sweep(trial(0, 1.0, 0.9), trial(1, 1.0, 0.2), trial(2, 0.5, 0.1))
    winner = history.winner()
    assert winner is not None
    assert winner.number == 1
    assert numbers(front_of(history)) == [1, 2]
    assert choose(history).trial is winner
    assert export_best(history).provenance["trial"] == 1
    assert choose(history, prefer=Preference.RECALL).trial is winner
    assert leaders(history.trials, history.directions, 1) == (winner,)
    contender = history.contender()
    assert contender is winner


def test_the_control_is_chosen_likewise() -> None:
    plain = [trial(0, 1.0, 0.9, term="cross_entropy"), trial(1, 1.0, 0.2, term="cross_entropy")]
    assert best_plain(plain, BOTH) is plain[1]
    history = sweep(*plain, trial(2, 0.4, 0.4))
    assert history.control() is plain[1]
    plan = history.plan_confirmation(top=1, seeds=2, margin=0.0)
    assert plan is not None
    assert plan.control.trial == 1


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=1, max_size=8))
def test_nothing_comes_before_what_is_better_in_some_metric_and_worse_in_none(
    values: list[tuple[float, ...]],
) -> None:
    directions = ("maximize", "minimize", "maximize")
    found = ranked([trial(number, *each) for number, each in enumerate(values)], directions)
    oriented = [(a, -b, c) for a, b, c in (each.values for each in found)]
    for place, before in enumerate(oriented):
        for after in oriented[place + 1 :]:
            assert after == before or any(x < y for x, y in zip(after, before, strict=True))


@pytest.mark.parametrize("names", [("recall",), ("recall", "count_error")])
def test_a_history_knows_what_is_better_in_each_metric(names: tuple[str, ...]) -> None:
    objective = ObjectiveSpec(metric=names[0]) if len(names) == 1 else ObjectiveSpec(metrics=names)
    sampler = SamplerSpec(sampler="random" if len(names) == 1 else "nsga2")
    history = simulate_sweep(1, 0, objective=objective, sampler=sampler)
    assert history.directions == objective.directions
