"""Where a training in someone else's loop stands in its schedule: by lengths, or by what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss

_ENDLESS = 10**9


class Following:
    """The position of a training in its schedule, epoch by epoch.

    Args:
        scheduled: the schedule with its losses.
        metrics: what the loop logs each of the schedule's metrics as; phases then end by these. Without it,
            phases last as long as in the exported training.

    Raises:
        UserError: the schedule waits for a metric that ``metrics`` lacks.
    """

    def __init__(self, scheduled: ScheduledLoss, metrics: Mapping[str, str] | None) -> None:
        self._scheduled, self._metrics = scheduled, metrics
        self._cursor: ScheduleCursor | None = None
        self._measured: dict[str, float] | None = None
        if metrics is not None and (missing := sorted(scheduled.schedule.metrics - set(metrics))):
            problem = Problem(
                "phases wait for a metric", found=", ".join(missing), allowed=", ".join(metrics)
            )
            raise UserError(problem)

    @property
    def by_metrics(self) -> bool:
        """Whether measurements count at all."""
        return self._metrics is not None

    @property
    def waits(self) -> bool:
        """Whether phases end by metrics."""
        return self._metrics is not None and bool(self._scheduled.schedule.metrics)

    @property
    def finished(self) -> bool:
        """Whether the schedule is over; never without metrics, as its last phase goes on then."""
        return self._cursor is not None and self._cursor.finished

    def forget(self) -> None:
        """Be as before the first epoch."""
        self._cursor = self._measured = None

    def begin(self, epoch: int, ends_by_itself: bool) -> None:
        """Take up the schedule where an epoch stands in it, if no checkpoint has said where.

        Args:
            epoch: from 0.
            ends_by_itself: the loop knows its own last epoch, and may be resumed with a later one.
        """
        if self._metrics is not None and self._cursor is None:
            epochs = _ENDLESS if ends_by_itself else self._scheduled.schedule.budget
            self._cursor = replace(self._scheduled.position(epoch), epochs=epochs)

    def at(self, epoch: int) -> ScheduleCursor:
        """Return the position of an epoch; the schedule decides on those before by what was noted."""
        self.advance_to(epoch)
        return self._cursor or self._scheduled.position(epoch)

    def advance_to(self, epoch: int) -> None:
        """Let the schedule decide on the epochs before this one."""
        while self._cursor is not None and self._cursor.epoch < epoch and not self._cursor.finished:
            self._cursor, self._measured = self._cursor.advance(self._measured), None

    def note(self, logged: Mapping[str, Any]) -> None:
        """Note what a validation measured.

        Raises:
            UserError: the schedule's metrics are not among it.
        """
        if self._metrics is None:
            return
        if absent := [name for name in self._metrics.values() if name not in logged]:
            problem = Problem("the schedule's metrics were not logged", found=", ".join(absent))
            raise UserError(problem)
        self._measured = {name: float(logged[key]) for name, key in self._metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return where in the schedule training stands, and what was measured in the epoch since."""
        return {"cursor": self._cursor.to_dict() if self._cursor else None, "measured": self._measured}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            UserError: it is of a schedule that trains otherwise from there back.
        """
        if self._metrics is None or state["cursor"] is None:
            return
        cursor, schedule = ScheduleCursor.from_dict(state["cursor"]), self._scheduled.schedule
        if cursor.schedule.unrolled() != schedule.unrolled():
            try:
                cursor = cursor.moved_to(schedule, cursor.epochs)
            except ValueError:
                problem = Problem(
                    "the checkpoint was trained by another schedule",
                    found=str(cursor.schedule),
                    allowed=str(schedule),
                )
                raise UserError(problem) from None
        self._cursor, self._measured = cursor, state.get("measured")
