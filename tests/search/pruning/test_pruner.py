from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from lossweep.search.pruning import Pruner, PrunerAudit, PruningSpec, audit
from lossweep.search.pruning.pruner import build_rule
from lossweep.search.simulation.simulated_trainer import SimulatedTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.history import TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.files.errors import UserError
from tests.search.sweeps import evaluation, schedule

ONE = schedule("cross_entropy")


def decisions(spec: PruningSpec, seed: int = 0, pilot: str = "ap") -> dict[int, str]:
    """What is decided on twenty trials that get worse and worse, two epochs in."""
    pruner = Pruner(spec, pilot, seed)
    found = {}
    for number in range(20):
        pruner.add_trial(number, ONE, exempt=number == 19)
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
    assert not {"prune", "pause"} & set(decisions(PruningSpec(audit=1.0)).values())


def test_controls_and_the_first_trials_go_on() -> None:
    found = decisions(PruningSpec(audit=0.0, min_peers=4, pause=False))
    assert [found[number] for number in range(4)] == ["continue"] * 4
    assert {found[number] for number in range(4, 19)} == {"prune"}
    assert found[19] == "continue"
    found = decisions(PruningSpec(audit=0.0, min_peers=4, pause=True))
    assert {found[number] for number in range(4, 19)} == {"pause"}
    assert found[19] == "continue"


def test_figures_are_in_the_metrics_own_direction() -> None:
    pruner = Pruner(PruningSpec(metric="count_error", audit=0.0, min_peers=1, pause=False), "ap", 0)
    for number, error in enumerate((0.2, 0.9)):
        pruner.add_trial(number, ONE, exempt=False)
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
        pruner.add_trial(number, ONE, exempt=False)
        actions = [pruner.decide(number, evaluation(e, level)).action for e in range(1, 9)]
        if number < 2:
            assert actions == ["continue"] * 8
        else:
            assert actions[:2] == ["continue"] * 2
            assert actions[2] == "prune"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (PruningSpec(pruner="nowhere.at.all:Pruner"), "there is no module 'nowhere'"),
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
    trials = [t for t in history.trials if any(d.action == "spare" for d in t.decisions)]
    assert found.spared == len(trials) > 3
    assert found.pruned == history.counts()["pruned"] > 5
    assert 0 <= found.winners <= found.wrong <= found.finished <= found.spared
    assert found.error_rate is not None
    assert found.error_rate < 0.5
    assert f"Of {found.spared} more that it wanted ended" in str(found)


def one(number: int, score: float, **more: Any) -> TrialHistory:
    spare = (DecisionRecord(8, Decision.SPARE, "ap: below; let go on as an audit"),)
    fields = {"control": None, "outcome": OutcomeKind.COMPLETED, "feasible": True, "decisions": ()} | more
    fields["decisions"] = spare if fields.pop("spared", False) else ()
    return TrialHistory(
        number=number,
        schedule=schedule("jaccard"),
        seed=0,
        parameters={},
        reason="",
        score=score,
        evaluations=(),
        **fields,
    )


def judged(*trials: TrialHistory, direction: str = "maximize") -> PrunerAudit:
    sweep = simulate_sweep(1, 0, trainer=SimulatedTrainer())
    return audit(replace(sweep, trials=trials, direction=direction))


PEERS = [one(number, score) for number, score in enumerate((0.2, 0.4, 0.6))]


def test_wrong_is_as_good_as_the_median_of_what_was_let_through() -> None:
    tested = [one(3, 0.39, spared=True), one(4, 0.4, spared=True), one(5, 0.7, spared=True)]
    ended = [
        one(6, 0.9, outcome=OutcomeKind.PRUNED),
        one(7, 0.9, control="ce"),
    ]  # no standard, and not judged
    assert judged(*PEERS, *tested, *ended) == PrunerAudit(
        pruned=1, spared=3, finished=3, wrong=2, winners=1, peers=3
    )
    lower = judged(*PEERS, *tested, *ended, direction="minimize")
    assert (lower.wrong, lower.winners) == (2, 0)


def test_where_constraints_can_be_met_a_trial_that_misses_them_is_never_wrongly_ended() -> None:
    cheat = one(3, 0.9, spared=True, feasible=False)
    assert judged(*PEERS, cheat).wrong == 0
    nobody = [replace(peer, feasible=False) for peer in PEERS]
    assert judged(*nobody, cheat).wrong == 1


def test_the_audit_says_what_it_does_not_know() -> None:
    pruned, going = one(8, 0.1, outcome=OutcomeKind.PRUNED), one(9, 0.1, spared=True)
    nothing = judged(*PEERS)
    assert (nothing.error_rate, nothing.interval) == (None, None)
    assert "wanted no trial ended" in str(nothing)
    assert "None that it wanted ended was let go on" in str(judged(*PEERS, pruned))
    running = replace(going, outcome=OutcomeKind.RUNNING)
    assert "none has completed, so how often it is wrong is not known" in str(judged(*PEERS, running))
    alone = judged(going)
    assert alone.error_rate is None
    assert "no proposal that it let through has" in str(alone)


def test_few_trials_are_said_to_be_few_and_the_interval_is_wilsons() -> None:
    few = judged(*PEERS, *(one(3 + i, 0.1 + 0.4 * (i == 0), spared=True) for i in range(4)))
    assert few.interval == pytest.approx((0.0456, 0.6994), abs=1e-3)  # Wilson's for 1 of 4
    assert "4 trials can tell little" in str(few)
    assert "4 completed, and it was wrong about 1 of them (25%)" in str(few)
    assert "from 5% to 70%" in str(few)
    many = judged(*PEERS, *(one(3 + i, 0.1, spared=True) for i in range(40)))
    assert "little" not in str(many)
    assert "wrong about none of them (0%)" in str(many)
    assert "none would have won" in str(many)
