"""Proposals by what they promise for each epoch that they still cost."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec, Sampling
from lossweep.search.sampling.cost_aware.trained import Trained
from lossweep.search.sampling.proposals import Mirror
from lossweep.search.simulation.prefix_trainer import PrefixTrainer
from lossweep.search.simulation.sweeps import VEHICLES, simulate_sweep
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.proposing.schedule_space import ScheduleSpace, SpaceSpec, preset_space
from lossweep.trainers.scoring.objectives import ObjectiveSpec

EPOCHS = 12
SPEC = SpaceSpec.model_validate({"preset": "cycling"})
SPACE = ScheduleSpace(SPEC, EPOCHS, VEHICLES)


def sampler(**parameters: float) -> SamplerSpec:
    return SamplerSpec(sampler="cost_aware", startup=6, ahead=False, parameters=parameters)


def sweep(trials: int = 16, seed: int = 3, **parameters: float) -> tuple[SweepHistory, PrefixTrainer]:
    trainer = PrefixTrainer(common_seed=seed, keeps=True)
    spec = sampler(**parameters)
    history = simulate_sweep(
        trials, seed, epochs=EPOCHS, slots=2, space=SPEC, controls={}, sampler=spec, trainer=trainer
    )
    return history, trainer


def mirror(number_of_metrics: int = 1, spec: SamplerSpec | None = None) -> Mirror:
    return Mirror(
        ["maximize"] * number_of_metrics,
        SPACE,
        Sampling(spec or sampler(), 5, number_of_metrics, SPACE),
    )


def told(made: Mirror, count: int) -> list[FrozenTrial]:
    """Propose so many, each of which completes or is pruned half-way."""
    for _ in range(count):
        _, trial = made.propose()
        value = (trial.number * 37 % 11) / 11
        end = TrialState.PRUNED if trial.number % 3 == 2 else TrialState.COMPLETE
        steps = {32 * epoch: value for epoch in range(1, 7 if end is TrialState.PRUNED else EPOCHS + 1)}
        made.finish(trial.number, end, [value], steps, {})
    return made._study.get_trials(deepcopy=False)


def test_equal_sweeps_are_equal_and_others_are_not() -> None:
    first, second, other = (sweep(seed=seed)[0] for seed in (3, 3, 4))
    assert [t.schedule for t in first.trials] == [t.schedule for t in second.trials]
    assert [t.schedule for t in first.trials] != [t.schedule for t in other.trials]


def test_a_driver_that_takes_over_proposes_the_same() -> None:
    """Whatever the sampler keeps in memory follows from the trials."""
    whole = told(mirror(), 14)
    later = mirror()
    later.load(whole[:9])
    assert [t.params for t in told(later, 5)] == [t.params for t in whole]


def test_nothing_is_proposed_twice() -> None:
    schedules = [trial.schedule for trial in sweep(20)[0].trials]
    assert len(set(schedules)) == len(schedules)


def test_every_proposal_is_in_the_space_with_its_parameters() -> None:
    for trial in sweep()[0].trials:
        assert SPACE.parameters_of(trial.schedule).keys() == trial.parameters.keys()
        assert SPACE.suggest(optuna.trial.FixedTrial(dict(trial.parameters))) == trial.schedule


def test_what_is_kept_is_gone_on_from() -> None:
    """Where phases are not tied across cycles: more than by plain TPE, with the same seed."""
    first, last = (
        phase.model_copy(update={"share": 0.25, "until": None})
        for phase in preset_space("cycling").phases or ()
    )
    free, whole, reused = SpaceSpec(phases=(first, last, first, last)), PruningSpec(pruner="none"), {}
    for name in ("cost_aware", "tpe"):
        trainer = PrefixTrainer(common_seed=1, keeps=True)
        spec = SamplerSpec(sampler=name, startup=6, ahead=False)
        simulate_sweep(
            24, 1, epochs=EPOCHS, space=free, controls={}, sampler=spec, pruning=whole, trainer=trainer
        )
        reused[name] = trainer.reused
    assert reused["cost_aware"] > 1.5 * reused["tpe"]


def test_a_share_of_one_is_drawn_at_random() -> None:
    """Nothing then follows from how trials ended."""
    spec = sampler(random=1.0)
    one, two = mirror(spec=spec), mirror(spec=spec)
    told(one, 8)
    for _ in range(8):
        _, trial = two.propose()
        two.finish(trial.number, TrialState.COMPLETE, [1.0 - trial.number / 10], {32 * EPOCHS: 0.0}, {})
    assert one.propose()[0] == two.propose()[0]


def test_with_several_metrics_it_samples_as_tpe_does() -> None:
    found = []
    for name in ("cost_aware", "tpe"):
        made = mirror(2, SamplerSpec(sampler=name, startup=3, ahead=False))
        for _ in range(6):
            _, trial = made.propose()
            made.finish(trial.number, TrialState.COMPLETE, [trial.number / 7, 0.5], {}, {})
        found.append([t.params for t in made._study.get_trials(deepcopy=False)])
    assert found[0] == found[1]


def test_what_was_trained_is_known_by_share_of_the_steps() -> None:
    trials = told(mirror(), 6)
    trained = Trained(SPACE)
    trained.read(trials, own=-1)
    for trial in trials:
        drawn = trained.drawn(trial.number)
        assert drawn is not None
        assert dict(drawn.parameters) == trial.params
        assert trained.holds(drawn.schedule)
        half = trial.state is TrialState.PRUNED
        assert trained.prefix(drawn.schedule) == (6 if half else EPOCHS - 1)
    schedule = SPACE.suggest(optuna.trial.FixedTrial(trials[0].params))
    assert [trained.to_come(schedule, start) for start in (0, 6)] == [10.0, 6.0]


def test_what_is_paused_is_a_prefix_and_more_once_it_has_gone_on() -> None:
    made, trained = mirror(), Trained(SPACE)
    _, first = made.propose()
    made.finish(first.number, TrialState.COMPLETE, [0.5], {32 * EPOCHS: 0.5}, {})
    _, second = made.propose()
    made.pause(second.number, {32 * 3: 0.4}, {})
    schedule = SPACE.suggest(optuna.trial.FixedTrial(second.params))
    trained.read(made._study.get_trials(deepcopy=False), own=-1)
    assert trained.prefix(schedule) == 3
    made.set_state(second.number, TrialState.RUNNING)
    made.finish(second.number, TrialState.COMPLETE, [0.6], {32 * EPOCHS: 0.6}, {})
    trained.read(made._study.get_trials(deepcopy=False), own=-1)
    assert trained.prefix(schedule) == EPOCHS - 1


def test_a_sampler_without_a_space_is_plain_tpe() -> None:
    plain = Sampling(sampler(), 0, 1).sampler(0)
    assert type(plain) is type(Sampling(SamplerSpec(), 0, 1).sampler(0))


@pytest.mark.parametrize("parameters", [{"shared": False}, {"foresight": False}])
def test_it_may_be_set(parameters: dict[str, float]) -> None:
    history, _ = sweep(10, **parameters)
    assert len(history.trials) == 10
    assert ObjectiveSpec(use_case="balanced").names[0] == history.metric
