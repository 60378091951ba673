"""An exported schedule in Lightning: sets the module's loss and the optimizers' learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError, nearest
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import load_schedule
from lossweep.trainers.callbacks.following import Following
from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise UserError("LossScheduleCallback needs Lightning: pip install lightning") from error


class LossScheduleCallback(Callback):
    """Trains a `LightningModule` by a schedule.

    The module computes its loss as ``self.criterion(logits, masks)``, and its ``configure_optimizers``
    returns optimizers without learning-rate schedulers; the callback sets both at the start of every batch.
    Every ``fit`` starts the schedule anew, but one that goes on: from a checkpoint, or with the same trainer.

    Args:
        schedule: a schedule file, or a schedule.
        prior: classes and frequencies, when the file does not say enough; see `ScheduledLoss`.
        attribute: the module's attribute that holds its loss.
        metrics: what the module logs each of the schedule's metrics as in its validation, such as
            ``{"recall": "val/recall"}``: phases then end by these. After an epoch without a validation only
            lengths count. Without it, phases last as long as in the exported training.

    Raises:
        UserError: the schedule cannot be read, waits for a metric that ``metrics`` lacks, or does not fit
            the module, its validation or its training loader.
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
        self._following = Following(self.scheduled, metrics)

    @property
    def state_key(self) -> str:
        """Lightning's name for this callback's state."""
        return self._generate_state_key(attribute=self._attribute)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier ``fit``. Lightning loads a checkpoint's state after this."""
        if stage == "fit" and trainer.current_epoch == 0:
            self._following.forget()

    def state_dict(self) -> dict[str, Any]:
        """Return where in the schedule training stands, and what was measured in the epoch since."""
        return self._following.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            UserError: it is of a schedule that trains otherwise from there back.
        """
        self._following.load_state_dict(state_dict)

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
        if self._following.waits and not trainer.enable_validation:
            problem = Problem(
                "phases wait for metrics of a validation, and this fit has none",
                found=", ".join(sorted(self.scheduled.schedule.metrics)),
                hint="give fit a validation loader and the module a validation_step, or leave metrics= out",
            )
            raise UserError(problem)
        self.scheduled.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the schedule where this epoch stands in it, if no checkpoint says where."""
        ends_by_itself = trainer.max_epochs is not None and trainer.max_epochs > 0
        self._following.begin(trainer.current_epoch, ends_by_itself)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the batch's loss and learning rate, and clear the moments at the start of a fresh phase.

        Raises:
            UserError: the training loader has no length, and a learning rate needs one.
        """
        # A checkpoint of a validation's end is of the epoch before.
        cursor = self._following.at(trainer.current_epoch)
        steps = self._steps(trainer)
        step = 0 if steps is None else batch_idx // trainer.accumulate_grad_batches
        criterion, rate = self.scheduled.of(cursor, step, steps)
        setattr(pl_module, self._attribute, criterion)
        entered = batch_idx == 0 and cursor.epochs_in_phase == 0 and cursor.epoch > 0
        for optimizer in trainer.optimizers:
            if entered and not cursor.current.keep_moments:
                optimizer.state.clear()
            for group in optimizer.param_groups:
                group["lr"] = rate

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was measured, so that a checkpoint saved now holds it.

        Raises:
            UserError: the validation doesn't log the schedule's metrics.
        """
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._following.note(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the schedule decide by the epoch's last validation, which Lightning has run by now."""
        self._following.advance_to(trainer.current_epoch + 1)
        if self._following.finished:
            trainer.should_stop = True

    def _steps(self, trainer: Trainer) -> int | None:
        """Optimizer steps of an epoch; None where nobody can know and nothing asks."""
        if math.isfinite(trainer.num_training_batches):
            return -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        for phase in self.scheduled.schedule.phases:
            if phase.shape != "constant" or phase.warmup_steps or phase.ramps:
                problem = Problem(
                    "the training loader has no length, and a learning rate that warms up or falls, or a "
                    "loss that ramps, needs the steps of an epoch",
                    found=str(phase),
                    hint="Trainer(limit_train_batches=N) says how many they are",
                )
                raise UserError(problem)
        return None
