"""Where a training stands in its schedule: a pure state machine for trainer, simulation and callbacks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until

COSINE_FLOOR: Final = 0.01
"""The share of the learning rate at which a cosine ends; a phase that goes on longer goes on with it."""
DROP_AFTER: Final = 0.75
"""The share of a phase's most epochs after which a ``drop`` lowers the learning rate."""
DROP_TO: Final = 0.1
"""The share of the learning rate that a ``drop`` goes on with."""


@dataclass(frozen=True, slots=True)
class ScheduleCursor:
    """A position in a schedule, at the end of an epoch. `advance` gives the next one.

    Nothing here depends on the budget but `finished`: trainings of different lengths share their prefixes.

    Attributes:
        schedule: what is trained.
        epochs: the whole budget.
        epoch: epochs done.
        phase: the phase the next step belongs to, as an index into ``schedule.unrolled()``.
        epochs_in_phase: epochs done in that phase since it was last entered.
        phase_ended: a phase ended with the last epoch: the next step, if any, belongs to another one.
        cycle_ended: a whole cycle ended with the last epoch.
        went_back: the last epoch ended by going back to the phase before.
        exhausted: the last phase has had its length, and goes on until the budget is spent.
    """

    schedule: LossSchedule
    epochs: int
    epoch: int = 0
    phase: int = 0
    epochs_in_phase: int = 0
    phase_ended: bool = False
    cycle_ended: bool = False
    went_back: bool = False
    exhausted: bool = False

    @classmethod
    def start(cls, schedule: LossSchedule, epochs: int | None = None) -> ScheduleCursor:
        """The position before the first step.

        Args:
            schedule: what is to be trained.
            epochs: the budget; None takes the schedule's own.

        Raises:
            ValueError: for a budget below one epoch.
        """
        budget = schedule.budget if epochs is None else epochs
        if budget < 1:
            raise ValueError(f"epochs must be at least 1, but got {epochs=}")
        return cls(schedule=schedule, epochs=budget)

    @property
    def current(self) -> Phase:
        """The phase the next step belongs to."""
        phases = self.schedule.phases
        return phases[self.phase % len(phases)]

    @property
    def cycle(self) -> int:
        """The index of the cycle the next step belongs to, from 0."""
        return self.phase // len(self.schedule.phases)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.epoch >= self.epochs

    def advance(self, metrics: Mapping[str, float] | None = None) -> ScheduleCursor:
        """The position after one more epoch.

        Going back is looked at first, then the phase's end. The end of the budget ends phase and cycle.

        Args:
            metrics: of the evaluation at that epoch's end; None when there was none: then only lengths count.

        Raises:
            UserError: when the metrics lack one that the schedule waits for.
            ValueError: when the budget is spent already.
        """
        if self.finished:
            raise ValueError(f"the budget of {self.epochs} epochs is spent")
        done = dataclasses.replace(
            self,
            epoch=self.epoch + 1,
            epochs_in_phase=self.epochs_in_phase + 1,
            phase_ended=False,
            cycle_ended=False,
            went_back=False,
        )
        return done._decided(metrics)

    def _decided(self, metrics: Mapping[str, float] | None) -> ScheduleCursor:
        phases = self.schedule.phases
        before = phases[(self.phase - 1) % len(phases)].until if self.phase else None
        back = (
            before is not None
            and before.back_below is not None
            and metrics is not None
            and before.lost_by(_read(before, metrics))
        )
        ended = not self.exhausted and self._length_is_over(metrics)
        ends_cycle = ended and not back and (self.phase + 1) % len(phases) == 0
        if self.finished:
            return dataclasses.replace(self, phase_ended=True, cycle_ended=True)
        if back:
            return dataclasses.replace(
                self,
                phase=self.phase - 1,
                epochs_in_phase=0,
                phase_ended=True,
                went_back=True,
                exhausted=False,
            )
        if ended and self.phase + 1 == len(phases) * self.schedule.cycles:
            return dataclasses.replace(self, cycle_ended=True, exhausted=True)
        if ended:
            return dataclasses.replace(
                self, phase=self.phase + 1, epochs_in_phase=0, phase_ended=True, cycle_ended=ends_cycle
            )
        return self

    def _length_is_over(self, metrics: Mapping[str, float] | None) -> bool:
        until = self.current.until
        if until is None or self.epochs_in_phase >= until.epochs[1]:
            return self.epochs_in_phase >= self.current.most_epochs
        reached = metrics is not None and until.reached_by(_read(until, metrics))
        return reached and self.epochs_in_phase >= until.epochs[0]

    def progress(self, step_in_phase: int, steps_per_epoch: int, after: int = 0) -> float:
        """How much of the current phase's most epochs is over before a step, from 0 to 1; 1 from there on.

        Args:
            step_in_phase: optimizer steps done in the phase since it was last entered.
            steps_per_epoch: optimizer steps an epoch.
            after: steps at the phase's start that don't count, no more than are done.
        """
        length = self.current.most_epochs * steps_per_epoch - after
        return min((step_in_phase - after) / length, 1.0) if length > 0 else 1.0

    def progress_of_epoch(self, steps_per_epoch: int) -> list[float]:
        """The `progress` at each step of the epoch that comes next: what its ramps follow."""
        first = self.epochs_in_phase * steps_per_epoch
        return [self.progress(first + step, steps_per_epoch) for step in range(steps_per_epoch)]

    def learning_rate(self, step_in_phase: int, steps_per_epoch: int) -> float:
        """The learning rate of one step of the current phase.

        A warm-up rises linearly and reaches the phase's rate with its last step. A cosine then falls from
        that rate to `COSINE_FLOOR` of it over the most epochs the phase can last, and stays there; a drop
        goes on at `DROP_TO` of it once `DROP_AFTER` of the phase is over.

        Args:
            step_in_phase: optimizer steps done in the phase since it was last entered.
            steps_per_epoch: optimizer steps an epoch.
        """
        phase = self.current
        if step_in_phase < phase.warmup_steps:
            return phase.learning_rate * (step_in_phase + 1) / phase.warmup_steps
        if phase.shape == "constant":
            return phase.learning_rate
        if phase.shape == "drop":
            after = math.ceil(DROP_AFTER * phase.most_epochs * steps_per_epoch)
            return phase.learning_rate * (1.0 if step_in_phase < after else DROP_TO)
        share = self.progress(step_in_phase, steps_per_epoch, phase.warmup_steps)
        fall = 0.5 * (1.0 + math.cos(math.pi * share))
        return phase.learning_rate * (COSINE_FLOOR + (1.0 - COSINE_FLOOR) * fall)

    def moved_to(self, schedule: LossSchedule, epochs: int) -> ScheduleCursor:
        """The same position in another schedule that shares everything trained so far.

        Raises:
            ValueError: when the schedules differ in what was trained, or the position is beyond the budget.
        """
        count = self.phase + (0 if self.epochs_in_phase == 0 else 1)
        mine, other = self.schedule.unrolled(), schedule.unrolled()
        if (
            mine[:count] != other[:count]
            or self.phase >= len(other)
            or self.exhausted
            or self.epoch >= epochs
        ):
            raise ValueError(
                f"the schedules differ within their first {count} phases, or the budget is spent"
            )
        return dataclasses.replace(self, schedule=schedule, epochs=epochs)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data, the schedule included."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "schedule": self.schedule.plain()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScheduleCursor:
        """Read back what `to_dict` wrote."""
        return cls(**{**data, "schedule": LossSchedule.model_validate(data["schedule"])})


def _read(until: Until, metrics: Mapping[str, float]) -> float:
    if until.metric not in metrics:
        raise UserError(f"a phase waits for {until.metric}, which the evaluation doesn't measure")
    return metrics[until.metric]
