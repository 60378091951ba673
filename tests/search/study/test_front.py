from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_sweeps import spec, task, workspace

from lossweep.search.running.driver import run_sweep
from lossweep.search.sampling import SamplerSpec
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.front import front_of
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.upkeep.export import export_best
from lossweep.trainers.scoring.objectives import ObjectiveSpec


@pytest.fixture(scope="module")
def swept() -> SweepHistory:
    objective = ObjectiveSpec(metrics=("recall_at_precision_0.3", "tuned_count_error"))
    return simulate_sweep(24, 0, objective=objective, sampler=SamplerSpec(sampler="nsga2"))


def test_no_completed_trial_is_better_than_the_front_in_every_metric(swept: SweepHistory) -> None:
    front = front_of(swept)
    completed = [trial for trial in swept.trials if trial.outcome is OutcomeKind.COMPLETED]
    assert 0 < len(front) < len(completed) < len(swept.trials)
    assert swept.winner() is front[0]
    recalls = [trial.values[0] for trial in front]
    assert recalls == sorted(recalls, reverse=True)
    for trial in completed:
        beaten = [
            other
            for other in completed
            if other.values[0] > trial.values[0] and other.values[1] < trial.values[1]
        ]
        assert not (beaten and trial in front)
        assert trial in front or any(
            one.values[0] >= trial.values[0] and one.values[1] <= trial.values[1] for one in front
        )


def test_what_misses_a_constraint_is_on_the_front_only_while_all_do(swept: SweepHistory) -> None:
    best = front_of(swept)[0]
    but_best = [replace(trial, feasible=trial is not best) for trial in swept.trials]
    assert best.number not in {trial.number for trial in front_of(replace(swept, trials=tuple(but_best)))}
    none = tuple(replace(trial, feasible=False) for trial in swept.trials)
    assert [trial.number for trial in front_of(replace(swept, trials=none))] == [
        trial.number for trial in front_of(swept)
    ]


def test_one_objective_has_a_winner_and_no_front() -> None:
    history = simulate_sweep(6, 0)
    assert front_of(history) == ()
    assert "front" not in export_best(history).provenance


@pytest.mark.parametrize("sampler", ["nsga3", "tpe"])
def test_a_sweep_with_several_objectives_from_its_file_to_its_export(tmp_path: Path, sampler: str) -> None:
    changes = {
        "objective": {"metrics": ["tuned_f1", "precision"], "pilot": "ap"},
        "sampler": {"sampler": sampler},
        "pruning": {"pruner": "rungs", "min_peers": 2, "audit": 0.0},
    }
    work = task(tmp_path / "work", {1: "diverge"})
    history = run_sweep(spec(trials=12, **changes), workspace(tmp_path), task=work)
    counts = history.counts()
    assert (history.state, counts["diverged"], counts["running"]) == ("finished", 1, 0)
    assert counts["pruned"] > 0
    exported = export_best(history)
    assert exported.provenance["front"] == [trial.number for trial in front_of(history)]
    assert exported.provenance["trial"] in exported.provenance["front"]
