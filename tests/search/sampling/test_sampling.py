from __future__ import annotations

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler
from pydantic import ValidationError

from lossweep.search.sampling import SamplerSpec, Sampling, check_sampler
from lossweep.search.study.journal import MemoryJournal
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.scoring.objectives import Constraint, ObjectiveSpec
from tests.search.sweeps import EPOCHS, SmallSpace, conductor, evaluation, schedule


class Numbers(SmallSpace):
    """A space of numbers that are always there."""

    def suggest(self, trial):
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        gamma = trial.suggest_float("gamma", 0.0, 5.0)
        phase = {"loss": {"term": "focal", "gamma": gamma}, "learning_rate": rate, "epochs": 2}
        return LossSchedule.model_validate({"phases": [phase], "epochs": EPOCHS})


def run(sampler: SamplerSpec, trials: int = 9, objective: ObjectiveSpec | None = None, **options) -> list:
    boss = conductor(trials, sampler=sampler, objective=objective, **options)
    schedules = []
    while plan := boss.ask():
        level = plan.seed % 97 / 97
        step = evaluation(EPOCHS, level, recall=level, precision=1 - level)
        boss.observe(plan.number, step)
        boss.close(plan.number, Outcome(OutcomeKind.COMPLETED))
        schedules.append(plan.schedule)
    boss.shut_down()
    return schedules


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "optuna.samplers:QMCSampler"])
def test_each_sampler_proposes_and_repeats_itself(name: str) -> None:
    spec = SamplerSpec(sampler=name, startup=4)
    trials = 6 if name == "gp" else 9  # a Gaussian process takes its time
    first, second = run(spec, trials), run(spec, trials)
    assert first == second
    assert len(set(first)) > 4
    assert run(spec, 4, seed=1) != first[:4]


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "tpe"])
def test_several_objectives(name: str) -> None:
    spec = SamplerSpec(sampler=name, startup=3, parameters={} if name == "tpe" else {"population_size": 4})
    objective = ObjectiveSpec(metrics=("recall", "precision"))
    found = run(spec, 12, objective)
    assert len(found) == 12
    assert found == run(spec, 12, objective)


def test_cmaes_where_the_space_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.search.sweeps.SmallSpace", Numbers)
    found = run(SamplerSpec(sampler="cmaes", startup=2))
    assert len(set(found)) == 9


def test_cmaes_wants_numbers_and_one_metric() -> None:
    number = {"x": optuna.distributions.FloatDistribution(0, 1)}
    choice = {"c": optuna.distributions.CategoricalDistribution(("a", "b"))}
    spec = SamplerSpec(sampler="cmaes")
    assert check_sampler(spec, 1, [number, number]) == []
    assert "choices c" in str(check_sampler(spec, 1, [number | choice])[0])
    assert "depend" in str(check_sampler(spec, 1, [number, {}])[0])
    assert "one metric" in str(check_sampler(spec, 2, [number])[0])
    assert check_sampler(SamplerSpec(), 2, [number, choice]) == []


def test_a_resumed_study_does_not_replay_its_start() -> None:
    study = optuna.create_study(direction="maximize")
    spec = SamplerSpec(sampler="tpe", startup=50)
    met = []
    for stop in (4, 8):
        boss = conductor(stop, study=study, sampler=spec)
        while plan := boss.ask():
            boss.close(plan.number, Outcome(OutcomeKind.FAILED, "x"))
            met.append(plan.schedule)
    assert len(set(met)) == 8


def test_diverged_trials_inform_tpe() -> None:
    boss = conductor(40, sampler=SamplerSpec(startup=8, ahead=False))
    rates = []
    while plan := boss.ask():
        rate = plan.schedule.phases[0].learning_rate
        rates.append(rate)
        boss.observe(plan.number, evaluation(1, 0.5))
        if rate > 1e-3:
            boss.close(plan.number, Outcome(OutcomeKind.DIVERGED, "NaN"))
        else:
            boss.observe(plan.number, evaluation(EPOCHS, 0.5))
            boss.close(plan.number, Outcome(OutcomeKind.COMPLETED))
    assert sum(rate > 1e-3 for rate in rates[25:]) < 5


@pytest.mark.parametrize("name", ["gp", "cmaes", "nsga2"])
def test_diverged_trials_inform_samplers_that_read_completed_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.search.sweeps.SmallSpace", Numbers)
    startup = {"population_size": 8} if name == "nsga2" else {}
    spec = SamplerSpec(sampler=name, startup=6, ahead=False, parameters=startup)
    constraint = Constraint(metric="recall", at_least=0.2)
    objective = ObjectiveSpec(metric="tuned_f1", constraints=() if name == "cmaes" else (constraint,))
    study, journal = optuna.create_study(direction="maximize"), MemoryJournal()
    rates = []
    for trials in (30, 40):  # the second time by another driver, which reads all from the study
        boss = conductor(trials, sampler=spec, study=study, journal=journal, objective=objective)
        while plan := boss.ask():
            rate = plan.schedule.phases[0].learning_rate
            rates.append(rate)
            if rate > 1e-3:
                boss.close(plan.number, Outcome(OutcomeKind.DIVERGED, "NaN"))
            else:
                boss.observe(plan.number, evaluation(EPOCHS, 0.5, recall=0.5))
                boss.close(plan.number, Outcome(OutcomeKind.COMPLETED))
        boss.shut_down()
        seen = boss._search._proposer._mirror._study.trials
        assert [trial.value for trial in seen] == [0.0 if rate > 1e-3 else 0.5 for rate in rates]
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}
    assert sum(rate > 1e-3 for rate in rates[:8]) >= 2
    if name != "nsga2":  # which breeds from the best alone, and needs longer
        assert sum(rate > 1e-3 for rate in rates[20:]) <= 4


class Unseeded(RandomSampler):
    def __init__(self) -> None:
        super().__init__(seed=3)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"sampler": "no.such:Thing"}, "there is no module 'no'"),
        ({"sampler": "builtins:dict"}, "not an Optuna sampler"),
        ({"sampler": "nsga2", "parameters": {"wrong": 1}}, "cannot be built"),
        ({"sampler": "cost_aware", "parameters": {"wrong": 1}}, "cannot be built"),
        (
            {"sampler": "cost_aware", "parameters": {"fresh": 2}},
            "fresh must be a share .* got 2",
        ),
        ({"sampler": "optuna.samplers:RandomSampler", "parameters": {"wrong": 1}}, "cannot be built"),
    ],
)
def test_a_sampler_that_is_none_is_named(spec: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Sampling(SamplerSpec.model_validate(spec), 0, 1).sampler(0)


@pytest.mark.parametrize("wrong", [{"sampler": "bayes"}, {"parameters": {"seed": 1}}, {"startup": 0}])
def test_a_wrong_spec_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        SamplerSpec.model_validate(wrong)


def test_an_imported_sampler_need_not_take_a_seed() -> None:
    spec = SamplerSpec(sampler="tests.search.sampling.test_sampling:Unseeded")
    assert isinstance(Sampling(spec, 0, 1).sampler(0), BaseSampler)


def test_controls_teach_the_sampler() -> None:
    boss = conductor(1, controls={"ce": schedule("cross_entropy", rate=2e-3)}, sampler="tpe")
    boss.ask()
    trial = boss._record.trial(0)
    assert trial.params["cross_entropy.rate"] == 2e-3
    assert set(trial.distributions) == set(trial.params)
