"""An exported schedule in Lightning: sets the module's loss and the optimizers' learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import load_schedule
from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise UserError("LossScheduleCallback needs Lightning: pip install lightning") from error


_ENDLESS = 10**9


class LossScheduleCallback(Callback):
    """Trains a `LightningModule` by a schedule.

    The module computes its loss as ``self.criterion(logits, masks)``, and its ``configure_optimizers``
    returns optimizers without learning-rate schedulers; the callback sets both at the start of every batch.

    Args:
        schedule: a schedule file, or a schedule.
        prior: classes and frequencies, when the file does not say enough; see `ScheduledLoss`.
        attribute: the module's attribute that holds its loss.
        metrics: what the module logs each of the schedule's metrics as, such as ``{"recall": "val/recall"}``:
            phases then end by these. Without it, phases last as long as in the exported training.

    Raises:
        UserError: the schedule cannot be read, waits for a metric that ``metrics`` lacks, or does not fit
            the module.
    """

    def __init__(
        self,
        schedule: str | Path | LossSchedule,
        prior: ClassPrior | None = None,
        attribute: str = "criterion",
        metrics: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(schedule, LossSchedule):
            schedule = load_schedule(schedule)
        self.scheduled = ScheduledLoss(schedule, prior)
        self._attribute = attribute
        self._metrics = metrics
        self._cursor: ScheduleCursor | None = None
        self._phase: tuple[int, int] | None = None
        if metrics is not None and (missing := sorted(self.scheduled.schedule.metrics - set(metrics))):
            problem = Problem(
                "phases wait for a metric", found=", ".join(missing), allowed=", ".join(metrics)
            )
            raise UserError(problem)

    @property
    def state_key(self) -> str:
        """Lightning's name for this callback's state."""
        return self._generate_state_key(attribute=self._attribute)

    def state_dict(self) -> dict[str, Any]:
        """Return where in the schedule training stands."""
        return {"cursor": self._cursor.to_dict() if self._cursor else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        cursor = state_dict["cursor"]
        self._cursor = ScheduleCursor.from_dict(cursor) if cursor else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the module can be trained by a schedule."""
        if not hasattr(pl_module, self._attribute):
            known = [*dict(pl_module.named_children()), *vars(pl_module)]
            message = f"{type(pl_module).__name__} has no attribute {self._attribute!r} to hold the loss"
            raise UserError(Problem(message, hint=nearest(self._attribute, known) or "name it by attribute="))
        if trainer.lr_scheduler_configs:
            raise UserError(
                "the schedule sets the learning rate: configure_optimizers must not return schedulers"
            )
        self.scheduled.to(pl_module.device)
        if self._metrics is not None and self._cursor is None:
            # A trainer that knows its own end ends by itself, and may be resumed with a later one.
            endless = trainer.max_epochs is not None and trainer.max_epochs > 0
            self._cursor = self.scheduled.start(_ENDLESS if endless else None)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the batch's loss and learning rate."""
        accumulated = trainer.accumulate_grad_batches
        steps = -(-int(trainer.num_training_batches) // accumulated)
        step, epoch = batch_idx // accumulated, trainer.current_epoch
        cursor = self._cursor or self.scheduled.position(epoch)
        criterion, rate = self.scheduled.of(cursor, step, steps)
        setattr(pl_module, self._attribute, criterion)
        entered = (cursor.phase, epoch - cursor.epochs_in_phase)
        switched, self._phase = self._phase not in (None, entered), entered
        for optimizer in trainer.optimizers:
            if switched and not cursor.current.keep_moments:
                optimizer.state.clear()
            for group in optimizer.param_groups:
                group["lr"] = rate

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the schedule decide by the epoch's validation, which Lightning has run by now."""
        if self._cursor is None or self._metrics is None:
            return
        logged = trainer.callback_metrics
        if absent := [name for name in self._metrics.values() if name not in logged]:
            problem = Problem("the schedule's metrics were not logged", found=", ".join(absent))
            raise UserError(problem)
        self._cursor = self._cursor.advance({name: float(logged[key]) for name, key in self._metrics.items()})
        if self._cursor.finished:
            trainer.should_stop = True
