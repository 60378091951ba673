"""A simulated trainer whose noise belongs to the seed and what it has trained; it may keep prefixes.

For judging ways to search by what they cost. Two trials with the same seed report exactly the same figures as
long as they train the same, as real ones do on a CPU; where they part, so does their noise. What a schedule
is truly worth is known, and so is which epochs had to be trained.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lossweep.search.simulation.courses import Course, Curves, cost
from lossweep.search.simulation.simulated_trainer import STEPS_PER_EPOCH
from lossweep.spaces.losses.one_line import loss_text
from lossweep.spaces.losses.ramp import settled
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule, Phase
from lossweep.spaces.seeds import short_seed
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations of the ranking quality, as it is measured.

    Attributes:
        seed: of what all trainings with one seed have in common: their initial weights.
        prefix: of what belongs to a seed and all that it has trained so far.
        memory: the correlation of that from one epoch to the next.
        evaluation: of what is drawn anew with each epoch.
    """

    seed: float = 0.01
    prefix: float = 0.02
    memory: float = 0.8
    evaluation: float = 0.005


@dataclass(slots=True)
class PrefixTrainer:
    """A `trainers.trial.TrialTrainer` over `courses`.

    Attributes:
        curves: how all courses go.
        noise: what seeds and prefixes add.
        common_seed: trains every trial with this seed; None with its plan's.
        apart: trains every trial with a seed of its own, which follows from its plan's and its number.
        keeps: whether prefixes are kept: their epochs are reported at once, in no time. A prefix is there
            once its last epoch was reported; two trials side by side both train it.
        trained: epochs that were trained.
        reused: epochs that were not, for a prefix held them.
    """

    curves: Curves = field(default_factory=Curves)
    noise: Noise = field(default_factory=Noise)
    common_seed: int | None = None
    apart: bool = False
    keeps: bool = False
    trained: int = 0
    reused: int = 0
    _kept: dict[str, int] = field(default_factory=dict)
    """Who trained each prefix."""

    def prepare(self) -> None:
        """Nothing is to be loaded."""

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield the evaluations of a trial, an epoch each; those of a kept prefix take no time."""
        seed = plan.seed if self.common_seed is None or plan.held_out is not None else self.common_seed
        if self.apart:
            seed = short_seed(seed, "apart", plan.number)
        noise, course = (
            self.noise,
            Course(random.Random(f"{seed}"), self.noise.evaluation, curves=self.curves),
        )
        own = noise.seed * random.Random(f"{seed} weights").gauss(0.0, 1.0)
        walk = 0.0
        cursor, steps, key = ScheduleCursor.start(plan.schedule), 0, f"{seed}"
        while not cursor.finished:
            phase, index, cycle = cursor.current, cursor.phase, cursor.cycle
            rate = cursor.learning_rate(steps, STEPS_PER_EPOCH)
            settled_phase = _settled(cursor, steps)
            key = _longer(key, cursor, steps)
            course.dice = random.Random(key)
            fresh = random.Random(f"{key} walk").gauss(0.0, noise.prefix)
            walk = fresh if cursor.epoch == 0 else noise.memory * walk + (1 - noise.memory**2) ** 0.5 * fresh
            course.offset = own + walk
            metrics = course.epoch(settled_phase, index, plan)
            cursor = cursor.advance(metrics)
            steps = 0 if cursor.phase_ended else steps + STEPS_PER_EPOCH
            by = self._kept.get(key) if self.keeps else None
            self.trained, self.reused = self.trained + (by is None), self.reused + (by is not None)
            seconds = cost(phase.loss) if by is None else 0.0
            told = _evaluation(plan, phase, (index, cycle), cursor, course, metrics, rate, seconds)
            try:
                yield told if by in (None, plan.number) else replace(told, trained_by=by)
            finally:  # it is there once it was reported, also of a trial that is ended by it
                self._kept.setdefault(key, plan.number)
            if course.verdict(0, index) is not None:
                return

    def true_score(self, schedule: LossSchedule, objective: ObjectiveSpec, epochs: int) -> float:
        """The objective's leading metric as it is without noise; of equal schedules the mean over seeds.

        A training that may diverge counts by its chance not to; one that has is worth nothing.
        """
        plan = trial_plan(schedule, 0, epochs)
        course = Course(_Mean(), 0.0, curves=self.curves)
        cursor, steps, survives = ScheduleCursor.start(plan.schedule), 0, 1.0
        found: list[Evaluation] = []
        while not cursor.finished:
            phase, place = _settled(cursor, steps), (cursor.phase, cursor.cycle)
            survives *= max(0.0, 1.0 - course.hazard(phase))
            metrics = course.epoch(phase, cursor.phase, plan)
            cursor = cursor.advance(metrics)
            steps = 0 if cursor.phase_ended else steps + STEPS_PER_EPOCH
            found.append(_evaluation(plan, phase, place, cursor, course, metrics, phase.learning_rate, 1.0))
        scored = score(objective, found)
        return survives * scored.values[0] if scored else 0.0


def trial_plan(schedule: LossSchedule, seed: int, epochs: int) -> TrialPlan:
    """The plan of a trial outside of any sweep."""
    return TrialPlan(
        number=0,
        seed=seed,
        schedule=schedule.with_budget(epochs),
        data=ScenesSource(source="scenes"),
        model=ModelSpec(),
        training=TrainingSpec(),
        guards=GuardSpec(),
        measure=MeasureSpec(),
    )


class _Mean(random.Random):
    """Dice that always fall on the mean, and on nothing unlikely."""

    def random(self) -> float:
        return 1.0

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return mu


def _settled(cursor: ScheduleCursor, steps: int) -> Phase:
    """The phase of the next epoch, its ramped parameters as they stand at its start."""
    phase = cursor.current
    loss = settled(phase.loss, cursor.progress(steps, STEPS_PER_EPOCH))
    return phase if loss is phase.loss else phase.model_copy(update={"loss": loss})


def _longer(key: str, cursor: ScheduleCursor, steps: int) -> str:
    """What belongs to a seed and all that it has trained, once the next epoch is trained as well.

    An epoch is told by its loss and its learning rates, at its start and at its end, and by whether it starts
    with fresh moments: schedules that are written differently may train the same.
    """
    phase, last = cursor.current, steps + STEPS_PER_EPOCH - 1
    ends = [cursor.learning_rate(at, STEPS_PER_EPOCH) for at in (steps, last)]
    shares = [cursor.progress(at, STEPS_PER_EPOCH) for at in (steps, last)]
    losses = [loss_text(settled(phase.loss, share)) for share in shares]
    fresh = steps == 0 and cursor.epoch > 0 and not phase.keep_moments
    text = f"{key}|{losses}|{ends}|{fresh}"
    return hashlib.sha256(text.encode()).hexdigest()


def _evaluation(
    plan: TrialPlan,
    phase: Phase,
    place: tuple[int, int],
    cursor: ScheduleCursor,
    course: Course,
    metrics: Mapping[str, float],
    rate: float,
    seconds: float,
) -> Evaluation:
    """What is reported of an epoch. ``place``: its phase and cycle; ``cursor``: as it stands after it."""
    step = cursor.epoch * STEPS_PER_EPOCH
    return Evaluation(
        step=step,
        epoch=cursor.epoch,
        epochs=plan.epochs,
        phase=place[0],
        cycle=place[1],
        loss_name=phase.loss_name,
        learning_rate=rate,
        metrics=metrics,
        threshold=course.threshold,
        floor_thresholds=course.floor_thresholds(plan, metrics["max_f1"]),
        seconds=seconds,
        phase_ended=cursor.phase_ended,
        cycle_ended=cursor.cycle_ended,
        finished=cursor.finished,
        verdict=course.verdict(step, place[0]),
    )
