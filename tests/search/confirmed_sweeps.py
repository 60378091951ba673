"""Sweeps with a confirmation: one made by hand, and a trainer that reads a simulated test split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.study.confirmation import Arm, Confirmation, ConfirmationPlan, Role
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation, HeldOutScore
from lossweep.trainers.plan import TrialPlan
from tests.search.small_sweeps import PRIOR, spec

PLAIN = LossSchedule.parse("cross_entropy @3e-3 x4 | 4 epochs")
LEADER = LossSchedule.parse("cross_entropy + 0.5*dice @3e-3 x2 -> jaccard @1e-4 x2 | 4 epochs")
RATES = LossSchedule.parse("cross_entropy @3e-3 x2 -> cross_entropy @1e-4 x2 | 4 epochs")
FIRST = LossSchedule.parse("cross_entropy + 0.5*dice @3e-3 x4 drop | 4 epochs")

ARMS = (
    Arm(Role.CONTROL, 0, PLAIN),
    Arm(Role.LEADER, 1, LEADER),
    Arm(Role.RATES_ALONE, 1, RATES),
    Arm(Role.FIRST_PHASE_ALONE, 1, FIRST),
)
SEEDS = 4
TOP_HEAVY = {Role.CONTROL: 0.50, Role.LEADER: 0.70, Role.RATES_ALONE: 0.60, Role.FIRST_PHASE_ALONE: 0.55}
WOBBLE = {Role.CONTROL: (-1, 1, 0, 0), Role.LEADER: (0, 0, 1, -1)}
"""In hundredths, by seed; of the ablations there is none."""


def sweep(means: Mapping[Role, float] | None = None, recalls: Sequence[float] = ()) -> SweepHistory:
    """A sweep of a control and a leader, confirmed with four seeds.

    Args:
        means: what each arm scores on the test split; None for a sweep that was not confirmed.
        recalls: each arm's tuned recall on validation.
    """
    searched = (
        trained(0, PLAIN, 0.61, control="cross_entropy"),
        trained(1, LEADER, 0.75),
        trained(2, FIRST, 0.40),
    )
    history = SweepHistory(
        name="small",
        spec_yaml=yaml.safe_dump(spec().model_dump(mode="json")),
        state=SweepState.FINISHED,
        objective="tuned_f1 (use case balanced)",
        metric="tuned_f1",
        direction="maximize",
        prior=PRIOR,
        budget_trials=3,
        budget_epochs=4,
        trials=searched,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        data_fingerprint="sha256:0",
        code_version="0.1.0",
    )
    if means is None:
        return history
    plan = ConfirmationPlan(ARMS, SEEDS, margin=0.005, searched=len(searched))
    trials = []
    for place, arm in enumerate(ARMS):
        for index in range(SEEDS):
            test = means[arm.role] + 0.01 * WOBBLE.get(arm.role, (0,) * SEEDS)[index]
            recall = recalls[place] if recalls else 0.5
            # Validation runs against the order of the seeds, so that the median is neither first nor last.
            validation = 0.6 + 0.02 * (3 * index % 4)
            number = 3 + index * len(ARMS) + place
            trials.append(trained(number, arm.schedule, validation, index, test, recall=recall))
    confirmation = Confirmation(plan, tuple(sorted(trials, key=lambda trial: trial.number)))
    return replace(history, confirmation=confirmation)


def trained(
    number: int,
    schedule: LossSchedule,
    score: float,
    confirms: int | None = None,
    test: float = 0.0,
    *,
    control: str | None = None,
    recall: float = 0.5,
) -> TrialHistory:
    """A completed trial; its thresholds tell which it is."""
    metrics = {"ap": score, "tuned_f1": score, "tuned_recall": recall, "tuned_precision": 1 - recall}
    last = Evaluation(
        step=40,
        epoch=4,
        epochs=4,
        phase=len(schedule.phases) - 1,
        cycle=0,
        loss_name="jaccard",
        learning_rate=1e-3,
        metrics=metrics,
        threshold=float(number),
        phase_ended=True,
        cycle_ended=True,
        finished=True,
    )
    first = replace(last, step=20, epoch=2, phase=0, cycle_ended=False, finished=False)
    before = (first,) if len(schedule.phases) > 1 else ()
    if confirms is not None:
        last = replace(last, held_out=HeldOutScore(test, "tuned_f1", {"tuned_f1": test}, (0.0,), 40))
    return TrialHistory(
        number=number,
        schedule=schedule,
        seed=1000 + (number if confirms is None else confirms),
        control=control,
        parameters={},
        outcome=OutcomeKind.COMPLETED,
        reason="",
        score=score,
        feasible=True,
        evaluations=(*before, last),
        scored_step=40,
        values=(score,),
        confirms=confirms,
    )


@dataclass(frozen=True, slots=True)
class ReadingTrainer:
    """The simulated trainer, with a test split that scores a little less than validation.

    Attributes:
        folder: of its histories; it notes there how each trial was trained.
        inner: what trains.
    """

    folder: Path
    planted: Mapping[int, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Train one trial."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{plan.number}.optimizer").write_text(plan.training.optimizer)
        for evaluation in PlantedTrainer(self.folder, planted=dict(self.planted)).trial(plan):
            if evaluation.finished and plan.held_out is not None:
                test = evaluation.metrics["tuned_f1"] - 0.02
                score = HeldOutScore(test, "tuned_f1", {"tuned_f1": test}, (0.0,), evaluation.step)
                yield replace(evaluation, held_out=score)
            else:
                yield evaluation

    def optimizer(self, number: int) -> str:
        """What a trial was trained by."""
        return (self.folder / f"{number}.optimizer").read_text()


def reading_task(folder: Path, planted: Mapping[int, str] | None = None) -> TrainingTask:
    return TrainingTask(ReadingTrainer(folder, dict(planted or {})), PRIOR, "sha256:0")
