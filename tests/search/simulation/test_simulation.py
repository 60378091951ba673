from __future__ import annotations

import math
import time

import pytest
import yaml

from lossweep.search.pruning import PruningSpec
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.sweep_spec import SweepSpec
from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.scoring.objectives import ObjectiveSpec
from tests.search.sweeps import EPOCHS, conductor, schedule

RANDOM = SamplerSpec(sampler="random", ahead=False)


def test_equal_arguments_give_equal_sweeps() -> None:
    first, second = (simulate_sweep(24, 5, slots=3) for _ in range(2))
    assert first == second
    assert simulate_sweep(24, 6, slots=3) != first


def test_a_sweep_tells_the_truth() -> None:
    history = simulate_sweep(60, 1)
    counts = history.counts()
    assert (counts["running"], counts["interrupted"]) == (0, 0)
    assert sum(counts.values()) == 60
    assert min(counts[kind] for kind in ("completed", "pruned", "failed")) > 0
    assert [t.control for t in history.trials[:5]] == [
        "cross_entropy", "weighted_ce", "jaccard", "ce_dice", "recipe"
    ]  # fmt: skip
    winner, control = history.winner(), history.control()
    assert winner is not None
    assert control is not None
    assert (winner.score or 0) > (control.score or 0)
    for trial in history.trials:
        assert all(math.isfinite(v) for e in trial.evaluations for v in e.metrics.values())
        assert (trial.outcome is OutcomeKind.FAILED) == bool(trial.traceback)
        assert trial.control is None or trial.outcome is not OutcomeKind.PRUNED
    spec = SweepSpec.model_validate(yaml.safe_load(history.spec_yaml))
    assert spec.budget.trials == 60


def test_thousands_of_trials_a_minute() -> None:
    start = time.process_time()
    history = simulate_sweep(300, 0, sampler=RANDOM)
    assert len(history.trials) == 300
    assert time.process_time() - start < 20.0  # 900 a minute on a slow, busy machine


def test_a_small_demo_prunes_some_and_not_its_best() -> None:
    for seed in range(4):
        counts = simulate_sweep(16, seed, slots=2, trainer=SimulatedTrainer()).counts()
        assert 2 <= counts["pruned"] <= 10


def test_pruning_spends_less_and_loses_little() -> None:
    spent, best = {}, {}
    for pruner in ("none", "rungs"):
        histories = [
            simulate_sweep(48, seed, sampler=RANDOM, pruning=PruningSpec(pruner=pruner)) for seed in range(3)
        ]
        spent[pruner] = sum(len(t.evaluations) for h in histories for t in h.trials)
        best[pruner] = sum((h.ranked()[0].score or 0) for h in histories) / 3
    assert spent["rungs"] < 0.8 * spent["none"]
    assert best["rungs"] > best["none"] - 0.03


def test_several_classes_and_objectives() -> None:
    prior = ClassPrior(names=("background", "road", "car"), frequencies=(0.9, 0.08, 0.02))
    objective = ObjectiveSpec(metrics=("recall_at_precision_0.3", "tuned_count_error"))
    history = simulate_sweep(20, 0, prior=prior, objective=objective, sampler=SamplerSpec(sampler="nsga2"))
    metrics = history.trials[0].evaluations[0].metrics
    assert {"ap/road", "ap/car", "ap", "recall_at_precision_0.3"} <= set(metrics)
    assert history.counts()["pruned"] > 0


@pytest.mark.parametrize(("rate", "diverges"), [(3e-3, False), (9.0, True)])
def test_a_wild_learning_rate_diverges(rate: float, diverges: bool) -> None:
    plan = conductor(1, controls={"ce": schedule("cross_entropy", rate=rate)}).ask()
    assert plan is not None
    course = list(SimulatedTrainer().trial(plan))
    assert (course[-1].verdict is not None) == diverges
    assert diverges or [e.epoch for e in course] == list(range(1, EPOCHS + 1))
    assert course == list(SimulatedTrainer().trial(plan))
