"""What all trials of a sweep measure: all that anything in its file goes by."""

from __future__ import annotations

from pathlib import Path

from small_sweeps import spec, task, workspace

from lossweep.search.conducting.plans import template_of
from lossweep.search.running.driver import run_sweep

WAITING = {
    "phases": [
        {
            "losses": [{"term": "weighted_ce", "weights": {"power": 0.5}}],
            "learning_rate": 1e-3,
            "until": {"metric": {"choice": ["recall_at_precision_0.30", "fbeta_2.0"]}, "at_least": 0.01},
        },
        {"losses": [{"term": "jaccard"}], "learning_rate": 1e-4},
    ],
}


def test_what_the_space_the_objective_and_the_pruner_go_by_is_measured() -> None:
    sweep = spec(
        space=WAITING,
        measure={"precision_floors": [0.6]},
        objective={"use_case": "no_false_alarms", "floor": 0.8, "pilot": "fbeta_0.50"},
        pruning={"pruner": "rungs", "metric": "precision_at_recall_0.9"},
    )
    measure = template_of(sweep).measure
    assert measure.precision_floors == (0.3, 0.6)
    assert measure.recall_floors == (0.8, 0.9)
    assert measure.betas == (0.5, 2.0)


def test_a_sweep_waits_for_a_metric_that_its_file_does_not_list(tmp_path: Path) -> None:
    work = task(tmp_path)
    sweep = spec(space=WAITING, trials=9, epochs=6)
    history = run_sweep(sweep, workspace(tmp_path), task=work)
    proposed = [trial for trial in history.trials if trial.control is None]
    waited = {name for trial in proposed for name in trial.schedule.metrics}
    assert waited == {"recall_at_precision_0.3", "fbeta_2"}
    for trial in proposed:
        assert trial.schedule.metrics <= trial.evaluations[0].metrics.keys()
        assert trial.evaluations[0].phase_ended, "the level is reached at once, and the phase ends by it"
