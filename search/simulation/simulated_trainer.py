"""A trainer that trains nothing: learning curves by formula, for the real conductor, pruner and samplers.

The curves (`search.simulation.courses`) are made to be as awkward as real ones and to have known best
schedules. Everything follows from the plan's seed, and what is planned for a trial from its number; two
trials with one seed report the same figures as long as they train alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from lossweep.search.simulation.courses import Course, cost
from lossweep.spaces.losses.ramp import settled
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.seeds import derived_seed
from lossweep.trainers.evaluation import Evaluation, GuardVerdict, HeldOutScore
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.operating_points import held_out_metric

STEPS_PER_EPOCH: Final = 32


class SimulatedFault(RuntimeError):
    """The exception of a simulated user's loss."""


class OutOfMemory(RuntimeError):
    """Simulated: the GPU's memory is full. Told by its name, as the trainer's own is."""


@dataclass(frozen=True, slots=True)
class SimulatedTrainer:
    """A `trainers.trial.TrialTrainer` at thousands of trials a minute.

    Attributes:
        noise: standard deviation of a metric from evaluation to evaluation.
        exceptions: the share of trials that raise `SimulatedFault` half-way.
        memory_faults: the share of trials that run out of memory until their micro-batch is smaller.
        planted: faults by trial number, over the shares: ``exception``, ``memory``, ``diverge``, ``reject``.
        seconds: simulated seconds of an epoch of cross-entropy.
    """

    noise: float = 0.01
    exceptions: float = 0.0
    memory_faults: float = 0.0
    planted: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 1.0

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield the evaluations of a trial; a resumed one yields the same again from the start."""
        fortune = random.Random(derived_seed(plan.seed, "trial", plan.number))
        fault = self._fault(plan, fortune.random())
        unlucky = 1 + int(fortune.random() * plan.epochs * 0.6)
        dice, past = random.Random(plan.seed), ""
        course = Course(dice, self.noise, fault == "diverge")
        cursor = ScheduleCursor.start(plan.schedule)
        if fault == "reject":
            yield _rejected(plan)
            return
        steps_in_phase = 0
        while not cursor.finished:
            phase, index, cycle = cursor.current, cursor.phase, cursor.cycle
            epoch = cursor.epoch + 1
            if fault in ("exception", "memory") and epoch == unlucky:
                raise _FAULTS[fault](f"simulated {fault} of trial {plan.number} in epoch {epoch}")
            if cursor.epochs_in_phase == 0:
                # Noise belongs to the seed and to what was trained: alike as long as trials train alike.
                past += f"/{cursor.epoch}:{identity(phase)}"
                dice.seed(derived_seed(plan.seed, past))
            learning_rate = cursor.learning_rate(steps_in_phase, STEPS_PER_EPOCH)
            loss = settled(phase.loss, cursor.progress(steps_in_phase, STEPS_PER_EPOCH))
            metrics = course.epoch(phase.model_copy(update={"loss": loss}), index, plan)
            cursor = cursor.advance(metrics)
            steps_in_phase = 0 if cursor.phase_ended else steps_in_phase + STEPS_PER_EPOCH
            verdict = course.verdict(epoch * STEPS_PER_EPOCH, index)
            yield Evaluation(
                step=epoch * STEPS_PER_EPOCH,
                epoch=epoch,
                epochs=plan.epochs,
                phase=index,
                cycle=cycle,
                loss_name=phase.loss_name,
                learning_rate=learning_rate,
                metrics=metrics,
                losses={"total": course.loss(), phase.loss_name: course.loss()},
                gradient_norm=0.5 + dice.random(),
                threshold=course.threshold,
                floor_thresholds=course.floor_thresholds(plan, metrics["max_f1"]),
                images_per_second=100.0 / cost(phase.loss),
                seconds=self.seconds * cost(phase.loss) * (0.9 + 0.2 * dice.random()),
                phase_ended=cursor.phase_ended,
                cycle_ended=cursor.cycle_ended,
                finished=cursor.finished,
                verdict=verdict,
                held_out=self._held_out(plan, metrics, course.threshold, epoch, dice)
                if cursor.finished and verdict is None
                else None,
            )
            if verdict is not None:
                return

    def _held_out(
        self,
        plan: TrialPlan,
        metrics: Mapping[str, float],
        threshold: float,
        epoch: int,
        dice: random.Random,
    ) -> HeldOutScore | None:
        """What a trial that confirms scores on a test split: as on validation, but for noise."""
        if plan.held_out is None:
            return None
        name = held_out_metric(plan.held_out.names[0])
        test = {key: value + dice.gauss(0.0, self.noise) for key, value in metrics.items()}
        return HeldOutScore(test[name], name, test, (threshold,), epoch * STEPS_PER_EPOCH)

    def _fault(self, plan: TrialPlan, chance: float) -> str:
        fault = self.planted.get(plan.number, "")
        if not fault and chance < self.exceptions:
            fault = "exception"
        if not fault and chance < self.exceptions + self.memory_faults:
            fault = "memory"
        if fault == "memory" and plan.micro_batch is not None and plan.micro_batch < plan.training.batch:
            return ""
        return fault


_FAULTS: Final[Mapping[str, type[Exception]]] = {"exception": SimulatedFault, "memory": OutOfMemory}


def _rejected(plan: TrialPlan) -> Evaluation:
    """What a trial reports whose first loss cannot be learned by."""
    phase = plan.schedule.phases[0]
    message = "the loss has no gradient before any training: it is 1 and its gradient by the logits 0"
    return Evaluation(
        step=0,
        epoch=0,
        epochs=plan.epochs,
        phase=0,
        cycle=0,
        loss_name=phase.loss_name,
        learning_rate=phase.learning_rate,
        metrics={},
        verdict=GuardVerdict("rejected", 0, 0, message, {"loss": 1.0, "gradient": 0.0}),
    )
