from __future__ import annotations

import pytest
from pydantic import ValidationError

from search.pruning import Pruner, PruningSpec, audit
from search.pruning.pruner import build_rule
from search.simulated_trainer import SimulatedTrainer
from search.simulation import simulate_sweep
from spaces.errors import UserError
from tests.search.sweeps import evaluation, schedule

ONE = schedule("cross_entropy")


def decisions(spec: PruningSpec, seed: int = 0, pilot: str = "ap") -> dict[int, str]:
    """What is decided on twenty trials that get worse and worse, two epochs in."""
    pruner = Pruner(spec, pilot, seed)
    found = {}
    for number in range(20):
        pruner.begin(number, ONE, exempt=number == 19)
        for epoch in (1, 2):
            step = evaluation(epoch, 0.9 - 0.04 * number, count_error=0.1 + 0.04 * number)
            found[number] = pruner.decide(number, step).action
    return found


def test_the_audit_spares_about_its_share_by_seed_and_number() -> None:
    spared = [
        sum(action == "spare" for action in decisions(PruningSpec(audit=0.3), seed).values())
        for seed in range(30)
    ]
    assert 0.2 < sum(spared) / (15 * 30) < 0.4
    assert decisions(PruningSpec(audit=0.3), 5) == decisions(PruningSpec(audit=0.3), 5)
    assert "spare" not in decisions(PruningSpec(audit=0.0)).values()
    assert "prune" not in decisions(PruningSpec(audit=1.0)).values()


def test_controls_and_the_first_trials_go_on() -> None:
    found = decisions(PruningSpec(audit=0.0, min_peers=4))
    assert [found[number] for number in range(4)] == ["continue"] * 4
    assert {found[number] for number in range(4, 19)} == {"prune"}
    assert found[19] == "continue"


def test_figures_are_in_the_metrics_own_direction() -> None:
    pruner = Pruner(PruningSpec(metric="count_error", audit=0.0, min_peers=1), "ap", 0)
    for number, error in enumerate((0.2, 0.9)):
        pruner.begin(number, ONE, exempt=False)
        for epoch in (1, 2):
            decision = pruner.decide(number, evaluation(epoch, count_error=error))
    assert decision.action == "prune"
    assert decision.figures["own"] == 0.9
    assert decision.figures["cutoff"] == 0.2
    assert "count_error" in decision.reason


def test_any_optuna_pruner_decides_on_the_pilot_with_percent_as_steps() -> None:
    spec = PruningSpec(
        pruner="optuna.pruners:MedianPruner",
        parameters={"n_startup_trials": 2, "n_warmup_steps": 30},
        audit=0.0,
    )
    pruner = Pruner(spec, "ap", 0)
    for number, level in enumerate((0.8, 0.7, 0.1)):
        pruner.begin(number, ONE, exempt=False)
        actions = [pruner.decide(number, evaluation(e, level)).action for e in range(1, 9)]
        if number < 2:
            assert actions == ["continue"] * 8
        else:
            assert actions[:2] == ["continue"] * 2
            assert actions[2] == "prune"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (PruningSpec(pruner="nowhere.at.all:Pruner"), "cannot be imported"),
        (PruningSpec(pruner="optuna.pruners:MedianPruner", parameters={"wrong": 1}), "cannot be built"),
        (PruningSpec(pruner="builtins:dict"), "not an Optuna pruner"),
    ],
)
def test_an_imported_pruner_that_is_none_is_named(spec: PruningSpec, says: str) -> None:
    with pytest.raises(UserError, match=says):
        build_rule(spec)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pruner": "hyperband"},
        {"metric": "loss"},
        {"rungs": [0.5, 0.25]},
        {"rungs": []},
        {"parameters": {"a": 1}},
        {"audit": 1.5},
    ],
)
def test_a_wrong_spec_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PruningSpec.model_validate(wrong)


def test_the_audit_counts_what_spared_trials_came_to() -> None:
    history = simulate_sweep(60, 3, pruning=PruningSpec(audit=0.4), trainer=SimulatedTrainer())
    found = audit(history)
    spared = [t for t in history.trials if any(d.action == "spare" for d in t.decisions)]
    assert found.spared == len(spared) > 3
    assert found.pruned == history.counts()["pruned"] > 5
    assert 0 <= found.winners <= found.wrong <= found.finished <= found.spared
    assert found.error_rate is not None
    assert found.error_rate < 0.5
    assert "spared" in str(found)


def test_an_audit_without_spared_trials_says_so() -> None:
    history = simulate_sweep(8, 0, pruning=PruningSpec(pruner="none"), trainer=SimulatedTrainer())
    found = audit(history)
    assert found.error_rate is None
    assert "nothing can be said" in str(found)
