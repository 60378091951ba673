"""A trial in memory, epoch by epoch: everything that changes while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lossweep.spaces.files.errors import LossweepError
from lossweep.spaces.schedules.common_prefix import evaluates, identity, needs_metrics
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.data.crops.batches import Batch
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.determinism import RandomNumbers, isolated
from lossweep.trainers.evaluation import Evaluation, GuardVerdict
from lossweep.trainers.guards import build_guards
from lossweep.trainers.loop.checkpoints import CheckpointStore
from lossweep.trainers.loop.first_look import rehearsal
from lossweep.trainers.loop.held_out import held_out_score
from lossweep.trainers.loop.measurement import Measurer
from lossweep.trainers.loop.memory import within_memory
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.optimization import Optimization
from lossweep.trainers.loop.outbox import Outbox
from lossweep.trainers.loop.own_use import OwnUse
from lossweep.trainers.loop.passes import PassSize
from lossweep.trainers.loop.prefix import TrainedEpoch, relabelled
from lossweep.trainers.loop.retrieval import trained_model
from lossweep.trainers.loop.step_log import StepLog
from lossweep.trainers.loop.wall_time import DATA, EVALUATION, TRAINING, WallTime
from lossweep.trainers.losses import RampedSteps, SegmentationLoss, build_loss
from lossweep.trainers.models import build_model, raw_model
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score


class Stopped(Exception):
    """``should_stop`` said so within an epoch."""


@dataclass(slots=True)
class _UnderWay:
    """An epoch under way.

    Attributes:
        batches: those to come.
        ramped: sets what of the loss ramps, step by step.
        numbers: random numbers of the epoch.
        steps: of it that are done.
    """

    batches: Iterator[Batch]
    ramped: RampedSteps
    numbers: RandomNumbers
    steps: int = 0


class TrialInMemory:
    """Everything that changes while a trial trains.

    Args:
        plan: the trial.
        data: what it trains on.
        numerics: where, and in what numbers.
        cursor: where in its schedule it stands.
        history: what was trained up to there.
        state: of the checkpoint that holds it; None at the start.

    Attributes:
        cursor: as given, moved on with each epoch.
        history: likewise.
        spent: what the wall time goes to.
    """

    def __init__(
        self,
        plan: TrialPlan,
        data: SegmentationData,
        numerics: Numerics,
        cursor: ScheduleCursor,
        history: tuple[TrainedEpoch, ...],
        state: dict[str, Any] | None,
    ) -> None:
        self.cursor = cursor
        self.history = history
        self._plan, self._data, self._numerics = plan, data, numerics
        self._batch = plan.training.step_images
        self._steps = data.train.steps_per_epoch(self._batch)
        self._guards = build_guards(plan.guards, data.prior)
        self._log = StepLog(numerics.scales_gradients)
        if state:
            # Neither pretrained weights nor a network to fetch them from are needed to go on.
            spec = plan.model.model_copy(update={"weights": None})
            model = raw_model(spec, data.prior, data.channels, plan.seed)
        else:
            model = build_model(plan.model, data.prior, data.channels, plan.seed, plan.data.tile)
        model = numerics.place(model)
        self._optimization = Optimization(model, plan.training, numerics, plan.images_a_pass)
        # The batch's, not the micro-batch's: what training ran short of is no measure of an evaluation.
        size = PassSize.of(plan.training.batch, data.val.tile)
        self._measurer = Measurer(data.prior, plan.measure, numerics, size)
        self._criterion = self._build_criterion()
        self._images = 0
        self._positives: int | None = None
        if state:
            self._load_state_dict(state)
        self.spent = WallTime()
        self._use = OwnUse(numerics.device)
        passes = (plan.epochs - cursor.epoch) * self._steps
        self._optimization.use_graphs(
            plan, data.channels, passes, lambda *path: self._isolated(self._numbers(*path))
        )

    @property
    def step(self) -> int:
        """Optimizer steps done at the last epoch's end."""
        return self.cursor.epoch * self._steps

    def rejected(self) -> Evaluation | None:
        """Look at the first loss on the initial model; return the only evaluation if that ends the trial."""
        plan, phase = self._plan, self.cursor.current
        model, images = self._optimization.model, plan.images_a_pass
        with self._isolated(self._numbers("rehearsal")):
            seen = rehearsal(phase.loss, model, self._data, self._numerics, images)
        verdict = self._guards.on_rehearsal(seen) if seen is not None else None
        if verdict is None:
            return None
        return Evaluation(
            step=0,
            epoch=0,
            epochs=plan.epochs,
            phase=0,
            cycle=0,
            loss_name=phase.loss_name,
            learning_rate=self.cursor.learning_rate(0, self._steps),
            metrics={},
            seconds=sum(self.spent.taken().values()),
            verdict=verdict,
        )

    def epoch(
        self, should_stop: Callable[[], bool], outbox: Outbox
    ) -> Generator[Evaluation, None, Evaluation | None]:
        """Train an epoch; returns its evaluation when there is one.

        Yields:
            What becomes ready in the outbox meanwhile.

        Raises:
            Stopped: within the epoch; the trial in memory is of no more use.
            OutOfMemory, EvaluationTooLarge: likewise.
        """
        before, plan = self.cursor, self._plan
        verdict, done = yield from self._train_epoch(should_stop, outbox)
        if verdict:
            return self._evaluate(done, verdict)
        after = None if needs_metrics(before) else before.advance(None)
        measure = after is None or evaluates(before, after, plan.training.evaluate_every)
        evaluation = self._evaluate(done) if measure else None
        if after is None:
            assert evaluation is not None
            after = before.advance(evaluation.metrics)
        if evaluation:
            evaluation = relabelled(evaluation, before, after, plan.epochs)
            verdict = self._guards.on_evaluation(evaluation, self._positives)
            evaluation = replace(evaluation, verdict=verdict)
        phase = identity(before.current, plan.code)
        trained = TrainedEpoch(phase, before.epochs_in_phase, evaluation, plan.number)
        self.cursor, self.history = after, (*self.history, trained)
        return evaluation

    def read_held_out(
        self, objective: ObjectiveSpec, last: Evaluation, checkpoints: CheckpointStore | None
    ) -> Evaluation:
        """Read the test split, once, with the weights that the score is taken from; return the evaluation.

        Raises:
            LossweepError: those weights are gone.
        """
        plan, data = self._plan, self._data
        taken = score(objective, [epoch.evaluation for epoch in self.history if epoch.evaluation])
        step = taken.evaluation.step if taken else last.step
        model: nn.Module | None = self._optimization.model
        if step != last.step:
            model = trained_model(plan, data, checkpoints, step) if checkpoints else None
        if model is None:
            raise LossweepError(f"the weights of step {step}, by which trial {plan.number} scores, are gone")
        scored = taken.evaluation if taken else last
        with self._isolated(self._numbers("held out")):
            found = held_out_score(objective, scored, model, data, self._measurer)
        evaluation = replace(last, held_out=found)
        self.history = (*self.history[:-1], replace(self.history[-1], evaluation=evaluation))
        return evaluation

    def state_dict(self) -> dict[str, Any]:
        """Everything that later epochs depend on, besides plan, data and history."""
        return {
            **self._optimization.state_dict(),
            "criterion": self._criterion.state_dict(),
            "guards": self._guards.state_dict(),
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimization.load_state_dict(state)
        self._guards.load_state_dict(state["guards"])
        if self.cursor.epochs_in_phase:
            self._criterion.load_state_dict(state["criterion"])

    def _train_epoch(
        self, should_stop: Callable[[], bool], outbox: Outbox
    ) -> Generator[Evaluation, None, tuple[GuardVerdict | None, int]]:
        plan, epoch = self._plan, self.cursor.epoch
        if self.cursor.epochs_in_phase == 0:
            within_memory(plan, self._start_phase)
        batches = self._data.train.training_batches(
            plan.seed, epoch, self._batch, self._numerics.device, self._criterion.maps
        )
        ramped = self._criterion.along(self.cursor.progress_of_epoch(self._steps))
        under_way = _UnderWay(batches, ramped, self._numbers("epoch", epoch))

        def train_on() -> tuple[bool, GuardVerdict | None]:
            with self.spent.on(TRAINING), self._isolated(under_way.numbers), torch.enable_grad():
                return self._train_on(under_way, should_stop, outbox)

        while True:
            over, verdict = within_memory(plan, train_on)
            if over:
                return verdict, self.step + under_way.steps
            yield from outbox.handed_out()

    def _train_on(
        self, under_way: _UnderWay, should_stop: Callable[[], bool], outbox: Outbox
    ) -> tuple[bool, GuardVerdict | None]:
        """Train until the epoch is over or something is ready in the outbox; returns which, and a verdict."""
        cursor = self.cursor
        offset = cursor.epochs_in_phase * self._steps
        self._optimization.start_epoch()
        while (batch := self._next_batch(under_way)) is not None:
            if should_stop():
                raise Stopped
            under_way.ramped.set(under_way.steps)
            rate = cursor.learning_rate(offset + under_way.steps, self._steps)
            tensors = self._optimization.step(batch.images, batch.masks, self._criterion, rate, batch.maps)
            under_way.steps += 1
            self._images += len(batch.images)
            if self._log.add(self.step + under_way.steps, tensors) and (verdict := self._watch()):
                return True, verdict
            if outbox.ready:
                return False, None
        return True, self._watch()

    def _next_batch(self, under_way: _UnderWay) -> Batch | None:
        with self.spent.on(DATA):
            return next(under_way.batches, None)

    def _numbers(self, *path: int | str) -> RandomNumbers:
        return RandomNumbers(self._plan.seed, *path, device=self._numerics.device)

    def _isolated(self, numbers: RandomNumbers) -> AbstractContextManager[None]:
        training, device = self._plan.training, self._numerics.device
        return isolated(
            numbers,
            threads=training.threads,
            deterministic=device.type == "cpu" or training.deterministic,
            tf32=self._numerics.tf32,
        )

    def _watch(self) -> GuardVerdict | None:
        """Show the guards every step since the last look."""
        for figures in self._log.read():
            seen = (figures.loss, figures.gradient_norm, figures.skipped, figures.comparable)
            if verdict := self._guards.on_step(figures.step, *seen):
                return verdict
        return None

    def _start_phase(self) -> None:
        if self.history:
            self._criterion = self._build_criterion()
            if not self.cursor.current.keep_moments:
                self._optimization.forget_moments()
        self._guards.phase_started(self.cursor.phase)

    def _build_criterion(self) -> SegmentationLoss:
        with isolated(self._plan.seed, "loss", self.cursor.phase):
            return self._numerics.place_loss(build_loss(self.cursor.current.loss, self._data.prior))

    def _evaluate(self, step: int, verdict: GuardVerdict | None = None) -> Evaluation:
        plan, cursor = self._plan, self.cursor
        with self.spent.on(EVALUATION), self._isolated(self._numbers("evaluation")):
            result = self._measurer.measured(self._optimization.model, self._data.val)
        self._positives = result.positives
        spent = self.spent.taken()
        trained = spent.get(TRAINING, 0.0) + spent.get(DATA, 0.0)
        last = max(0, step - self.step - 1) + cursor.epochs_in_phase * self._steps
        evaluation = Evaluation(
            step=step,
            epoch=cursor.epoch,
            epochs=plan.epochs,
            phase=cursor.phase,
            cycle=cursor.cycle,
            loss_name=cursor.current.loss_name,
            learning_rate=cursor.learning_rate(last, self._steps),
            metrics={name: value for name, value in result.metrics.items() if math.isfinite(value)},
            losses=self._log.losses,
            gradient_norm=self._log.gradient_norm,
            threshold=result.threshold,
            floor_thresholds=result.floor_thresholds,
            object_sizes=result.object_sizes,
            images_per_second=self._images / trained if trained else 0.0,
            seconds=sum(spent.values()),
            spent=spent,
            used=self._use.taken(),
            verdict=verdict,
        )
        self._log.reset()
        self._images = 0
        return evaluation
