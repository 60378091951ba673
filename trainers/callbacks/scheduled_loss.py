"""An exported schedule with its losses built, for anyone's own training loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import Compound, EffectiveNumberWeights, FrequencyWeights, Loss, PerObject
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile, load_schedule
from lossweep.trainers.losses import RampedSteps, SegmentationLoss, build_loss

_LONG = 1_000_000
"""Steps of an epoch whose steps nobody counts: so many that a warm-up is over at once."""


class ScheduledLoss(nn.Module):
    """The losses of a schedule, and which of them is whose turn.

    As it was trained, epoch by epoch::

        scheduled = ScheduledLoss.load("best.yaml").to(device)
        for epoch in range(scheduled.epochs):
            criterion, learning_rate = scheduled.at(epoch)

    or anew by the metrics of one's own validation::

        cursor = scheduled.start()
        while not cursor.finished:
            criterion, learning_rate = scheduled.of(cursor)
            ...
            cursor = cursor.advance({"recall": recall})

    Args:
        schedule: a schedule, or what a schedule file holds.
        prior: classes and their training frequencies, when they are not those of the file. Needed for a bare
            schedule, and for a file without frequencies whose class weights are to be computed from them.

    Raises:
        UserError: the prior is needed, or does not fit the file's classes.
    """

    def __init__(self, schedule: LossSchedule, prior: ClassPrior | None = None) -> None:
        super().__init__()
        self.schedule = schedule.schedule if isinstance(schedule, ScheduleFile) else schedule
        prior = _prior(schedule, prior)
        self.criteria = nn.ModuleList(build_loss(phase.loss, prior) for phase in self.schedule.phases)
        self._epochs = schedule.budget
        if isinstance(schedule, ScheduleFile):
            self._epochs = (
                schedule.epochs or sum(stay.epochs for stay in schedule.realised) or schedule.budget
            )
        self._epoch: tuple[tuple[int, int, int], Tensor, RampedSteps] | None = None
        self._positions = tuple(_positions(schedule, self._epochs))

    @classmethod
    def load(cls, path: str | Path, prior: ClassPrior | None = None) -> Self:
        """Read a schedule file.

        Raises:
            UserError: with everything that is wrong in it, by line.
        """
        return cls(load_schedule(path), prior)

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return self._epochs

    def at(
        self, epoch: int, step: int = 0, steps_per_epoch: int | None = None
    ) -> tuple[SegmentationLoss, float]:
        """Return the loss and the learning rate of an epoch, or of one step of it.

        The loss's ramps are at that step, until the next call. The losses of one phase are one module.

        Phases that waited for a metric last as long as they did in the exported training (without a record of
        it, as long as they may). After the last epoch, its phase goes on: a learning rate that fell stays
        where it ended.

        Args:
            epoch: from 0.
            step: optimizer steps done in the epoch.
            steps_per_epoch: of one's own loop. Without it rate and ramps are the epoch's first, and warm-ups
                are left out.

        Raises:
            IndexError: for a negative epoch.
        """
        return self.of(self.position(epoch), step, steps_per_epoch)

    def position(self, epoch: int) -> ScheduleCursor:
        """Where an epoch stands in the schedule, as `at` sees it.

        Raises:
            IndexError: for a negative epoch.
        """
        if epoch < 0:
            raise IndexError(f"epoch must be 0 or more, but got {epoch}")
        if epoch < len(self._positions):
            return self._positions[epoch]
        last = self._positions[-1]
        return replace(last, epoch=epoch, epochs_in_phase=last.epochs_in_phase + epoch - last.epoch)

    def start(self, epochs: int | None = None) -> ScheduleCursor:
        """The position before the first step, to be advanced by one's own metrics.

        Args:
            epochs: the whole budget; the schedule's own when None.
        """
        return ScheduleCursor.start(self.schedule, epochs)

    def of(
        self, cursor: ScheduleCursor, step: int = 0, steps_per_epoch: int | None = None
    ) -> tuple[SegmentationLoss, float]:
        """Return the loss and the learning rate at a position; the other arguments as in `at`."""
        criterion = self.criteria[cursor.phase % len(self.criteria)]
        assert isinstance(criterion, SegmentationLoss)
        if steps_per_epoch is None:
            first = max(cursor.epochs_in_phase * _LONG, cursor.current.warmup_steps)
            criterion.along([cursor.progress(cursor.epochs_in_phase, 1)]).set(0)
            return criterion, cursor.learning_rate(first, _LONG)
        if criterion.ramps is not None:
            self._ramped(criterion, cursor, steps_per_epoch).set(min(step, steps_per_epoch - 1))
        done = cursor.epochs_in_phase * steps_per_epoch + step
        return criterion, cursor.learning_rate(done, steps_per_epoch)

    def _ramped(self, criterion: SegmentationLoss, cursor: ScheduleCursor, steps: int) -> RampedSteps:
        """The ramps of an epoch, which go to the device once."""
        epoch = (cursor.phase, cursor.epochs_in_phase, steps)
        known = self._epoch
        # Another device or precision gives the loss other tensors.
        if known is None or known[0] != epoch or known[1] is not criterion.weights:
            self._epoch = known = epoch, criterion.weights, criterion.along(cursor.progress_of_epoch(steps))
        return known[2]


def _positions(schedule: LossSchedule, epochs: int) -> Iterator[ScheduleCursor]:
    """Where each epoch of the training stood: as recorded, or as the lengths alone say.

    A record may end before the budget does; `ScheduledLoss.position` goes on from its last phase.
    """
    stays = schedule.realised if isinstance(schedule, ScheduleFile) else ()
    plain = schedule.schedule if isinstance(schedule, ScheduleFile) else schedule
    recorded = [(stay.phase, within) for stay in stays for within in range(stay.epochs)]
    for epoch, (phase, within) in enumerate(recorded[:epochs]):
        yield ScheduleCursor(plain, epochs, epoch=epoch, phase=phase, epochs_in_phase=within)
    position = ScheduleCursor.start(plain, epochs)
    while not (recorded or position.finished):
        yield position
        position = position.advance()


def _prior(schedule: LossSchedule, prior: ClassPrior | None) -> ClassPrior:
    classes = schedule.classes if isinstance(schedule, ScheduleFile) else None
    if prior is not None:
        if classes is not None and len(classes) != len(prior.names):
            raise UserError(
                Problem(
                    "the schedule was found for other classes",
                    key="classes",
                    found=", ".join(prior.names),
                    allowed=", ".join(classes),
                )
            )
        return prior
    if isinstance(schedule, ScheduleFile) and schedule.prior is not None:
        return schedule.prior
    if classes is None:
        raise UserError("the schedule names no classes: give prior=ClassPrior(names=..., frequencies=...)")
    if any(_needs_frequencies(phase.loss) for phase in schedule.phases):
        raise UserError(
            "class weights are to be computed from the training masks: give prior=ClassPrior(names=..., "
            "frequencies=...), the share of each class in your training masks"
        )
    # Every weight is written out, so no loss reads these frequencies.
    return ClassPrior(names=classes, frequencies=(1.0 / len(classes),) * len(classes))


def _needs_frequencies(loss: Loss) -> bool:
    if isinstance(loss, Compound):
        return any(_needs_frequencies(part.loss) for part in loss.sum)
    if isinstance(loss, PerObject):
        return _needs_frequencies(loss.loss)
    return isinstance(getattr(loss, "weights", None), FrequencyWeights | EffectiveNumberWeights)
