"""A trainer that replays the curves of `benchmarks/record.py`, at thousands of trials a minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from lossweep.search.simulation.prefix_trainer import trial_plan
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score

_PLACE = ("step", "epoch", "phase", "cycle", "phase_ended", "cycle_ended", "finished", "threshold")
_BESIDE = (*_PLACE, "dataset", "seed", "schedule", "diverged", "trained", "test")


class NotRecorded(LookupError):
    """A schedule that nobody trained; the space of a replayed sweep must be the record's own."""


@dataclass(frozen=True, slots=True)
class RecordedTrainer:
    """A `trainers.trial.TrialTrainer` on the curves of one data set and one seed.

    Every epoch takes its time. Around it, `sharing_trainer.SharingTrainer` lets trials go on from what others
    trained: all curves have one seed, and begin with the same figures as long as they train alike.

    Attributes:
        curves: evaluations by the schedule on one line.
        seconds: simulated seconds of an epoch.
    """

    curves: Mapping[str, tuple[Mapping[str, Any], ...]] = field(repr=False)
    seconds: float = 1.0

    @classmethod
    def of(cls, table: pd.DataFrame, dataset: str, seed: int) -> Self:
        """Take one data set and one seed out of a record.

        Args:
            table: as `read_record` gives it.
            dataset: which.
            seed: which of its seeds.

        Raises:
            NotRecorded: the record has no such pair.
        """
        rows = table[(table["dataset"] == dataset) & (table["seed"] == seed)]
        if rows.empty:
            has = sorted(set(zip(table["dataset"], table["seed"], strict=True)))
            raise NotRecorded(f"{dataset} with seed {seed} is not in the record, which has {has}")
        curves = {
            str(schedule): tuple(curve.sort_values("epoch").to_dict("records"))
            for schedule, curve in rows.groupby("schedule", sort=False)
        }
        return cls(curves)

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield what was recorded of the plan's schedule, whatever the plan's own seed.

        Raises:
            NotRecorded: nobody trained this schedule.
        """
        for row in self.curve(plan.schedule):
            verdict = GuardVerdict(row["diverged"], row["step"], row["phase"], "as recorded")
            current = plan.schedule.phases[row["phase"] % len(plan.schedule.phases)]
            yield Evaluation(
                **{name: row[name] for name in _PLACE},
                epochs=plan.epochs,
                loss_name=current.loss_name,
                learning_rate=current.learning_rate,
                metrics=figures(row),
                losses={},
                gradient_norm=0.0,
                images_per_second=0.0,
                seconds=self.seconds,
                verdict=verdict if row["diverged"] else None,
            )

    def final(self, schedule: LossSchedule, objective: ObjectiveSpec) -> tuple[float, float]:
        """What a training came to by the objective: its score on validation, and on test at its end.

        Both are 0 where it has diverged: nothing is left that anyone could use.

        Raises:
            NotRecorded: nobody trained this schedule.
        """
        last = self.curve(schedule)[-1]
        scored = score(objective, list(self.trial(trial_plan(schedule, 0, schedule.budget))))
        if scored is None or last["diverged"] or not last["finished"]:
            return 0.0, 0.0
        return scored.values[0], float(last["test"])

    def curve(self, schedule: LossSchedule) -> tuple[Mapping[str, Any], ...]:
        """The rows of one schedule, an evaluation each.

        Raises:
            NotRecorded: nobody trained it.
        """
        try:
            return self.curves[str(schedule)]
        except KeyError:
            raise NotRecorded(f"nobody recorded {schedule}") from None


def figures(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row: whatever was recorded and is a number."""
    return {name: float(value) for name, value in row.items() if name not in _BESIDE and np.isfinite(value)}


def read_record(path: Path) -> pd.DataFrame:
    """Read a record: a row an evaluation; docs/benchmarks.md says what its columns are."""
    return pd.read_parquet(path)
