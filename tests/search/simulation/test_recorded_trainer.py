"""Replayed trainings: what was recorded comes back, and what was not is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lossweep.search.simulation.prefix_trainer import trial_plan
from lossweep.search.simulation.recorded_trainer import NotRecorded, RecordedTrainer, read_record
from lossweep.search.simulation.sharing_trainer import SharingTrainer
from lossweep.search.simulation.sweeps import simulate_sweep
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.spaces.proposing.space_spec import SpaceSpec
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.scoring.objectives import ObjectiveSpec

SPACE = SpaceSpec.model_validate(
    {
        "cycles": 0,
        "phases": [
            {
                "losses": [{"term": "cross_entropy"}, {"term": "jaccard"}],
                "learning_rate": {"choice": [1e-3, 1e-2]},
            }
        ],
    }
)
LAST = {
    "cross_entropy @1e-3 x2 | 2 epochs": 0.5,
    "cross_entropy @0.01 x2 | 2 epochs": 0.6,
    "jaccard @1e-3 x2 | 2 epochs": 0.7,
}
LONG = (
    "cross_entropy @1e-3 x2 | 2 epochs",
    "cross_entropy @1e-3 x1 -> jaccard @1e-3 x1 | 2 epochs",
    "cross_entropy @0.01 x2 | 2 epochs",
)


def _record(tmp_path: Path) -> pd.DataFrame:
    rows = [
        {
            "dataset": "tiny", "seed": 3, "schedule": schedule, "epoch": epoch, "step": 10 * epoch,
            "phase": 0, "cycle": 0, "phase_ended": epoch == 2, "cycle_ended": epoch == 2,
            "finished": epoch == 2,
            "diverged": "", "threshold": 0.1, "trained": True, "test": float("nan"),
            "ap": last * epoch / 2, "tuned_f1": last * epoch / 2, "object_f1": float("nan"),
        }
        for schedule, last in LAST.items()
        for epoch in (2, 1)
    ]  # fmt: skip
    path = tmp_path / "curves.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return read_record(path)


def test_a_sweep_on_recorded_curves_finds_the_best_of_them(tmp_path: Path) -> None:
    trainer = RecordedTrainer.of(_record(tmp_path), "tiny", 3)
    history = simulate_sweep(8, epochs=2, space=SPACE, trainer=trainer, controls={})
    done = {str(t.schedule): t.score for t in history.trials if t.outcome is OutcomeKind.COMPLETED}
    assert max(done, key=lambda schedule: done[schedule] or 0.0) == "jaccard @1e-3 x2 | 2 epochs"
    assert all(score == pytest.approx(LAST[schedule]) for schedule, score in done.items())
    assert "object_f1" not in history.trials[0].evaluations[0].metrics


def test_what_nobody_trained_fails_by_its_name(tmp_path: Path) -> None:
    trainer = RecordedTrainer.of(_record(tmp_path), "tiny", 3)
    history = simulate_sweep(12, epochs=2, space=SPACE, trainer=trainer, controls={})
    failed = [t for t in history.trials if t.outcome is OutcomeKind.FAILED]
    assert failed
    assert all("nobody recorded jaccard @0.01 x2" in t.reason for t in failed)


def test_a_pair_that_is_not_in_the_record_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match=r"tiny with seed 4 is not.*'tiny', 3"):
        RecordedTrainer.of(_record(tmp_path), "tiny", 4)


def test_what_a_training_came_to_is_its_best_end_of_a_cycle_and_its_test(tmp_path: Path) -> None:
    table = _record(tmp_path)
    last = table["epoch"] == 2
    table.loc[last, "test"] = table.loc[last, "ap"] - 0.1
    diverged = table["schedule"].str.startswith("jaccard")
    table.loc[diverged & last, "diverged"] = "not_finite"
    trainer = RecordedTrainer.of(table, "tiny", 3)
    found = [trainer.final(LossSchedule.parse(line), ObjectiveSpec(use_case="balanced")) for line in LAST]
    assert found[:2] == [pytest.approx((0.5, 0.4)), pytest.approx((0.6, 0.5))]
    assert found[2] == (0.0, 0.0), "what has diverged is worth nothing"


def test_what_another_trial_trained_costs_a_replayed_one_nothing(tmp_path: Path) -> None:
    table = pd.concat([_record(tmp_path).assign(schedule=line) for line in LONG], ignore_index=True)
    trainer = SharingTrainer(RecordedTrainer.of(table.drop_duplicates(["schedule", "epoch"]), "tiny", 3))
    seconds = [
        [
            each.seconds
            for each in trainer.trial(replace(trial_plan(LossSchedule.parse(line), 0, 2), number=n))
        ]
        for n, line in enumerate(LONG)
    ]
    assert seconds == [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], "one epoch alike, and none"
