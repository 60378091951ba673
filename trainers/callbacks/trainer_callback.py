"""An exported schedule in Hugging Face's Trainer: its loss and its learning rate, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import load_schedule
from lossweep.trainers.callbacks.following import Following
from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss
from lossweep.trainers.losses import SegmentationLoss

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise UserError(
        "LossScheduleTrainerCallback needs transformers: pip install 'transformers[torch]'"
    ) from error

_STATE: Final = "lossweep"
"""Under which the position lies among the states of callbacks in a checkpoint."""


class LossScheduleTrainerCallback(TrainerCallback):
    """Trains a model in Hugging Face's ``Trainer`` by a schedule.

    It is both a callback and the loss::

        schedule = LossScheduleTrainerCallback("best.yaml")
        trainer = Trainer(model, ..., compute_loss_func=schedule.compute_loss, callbacks=[schedule])

    The model returns logits (batch, channels, height, width): a tensor, a tuple that begins with it, or what
    has it as ``logits``; two classes are one channel (``num_labels=1``). Logits of another size than the
    masks, such as SegFormer's, are interpolated as the library's own models do. The training arguments say
    ``lr_scheduler_type="constant"`` and no warm-up, and ``label_names=["labels"]`` for a model whose
    forward does not take the masks.

    Args:
        schedule: a schedule file, or a schedule.
        prior: classes and frequencies, when the file does not say enough; see `ScheduledLoss`.
        metrics: what the evaluations log each of the schedule's metrics as, such as
            ``{"recall": "eval_recall"}``: phases then end by these. After an epoch without an evaluation only
            lengths count. Without it, phases last as long as in the exported training.

    Raises:
        UserError: the schedule cannot be read, waits for a metric that ``metrics`` lacks, or does not fit the
            training arguments, the evaluations or the training data.
    """

    def __init__(
        self,
        schedule: str | Path | LossSchedule,
        prior: ClassPrior | None = None,
        metrics: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(schedule, LossSchedule):
            schedule = load_schedule(schedule)
        self.scheduled = ScheduledLoss(schedule, prior)
        self._following = Following(self.scheduled, metrics)
        self._criterion: SegmentationLoss | None = None
        self._steps = 1
        self._trains = False

    def compute_loss(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Return the loss of the phase that training is in; for ``Trainer(compute_loss_func=...)``.

        Of one of several batches that make a step it is weighted by the batch's share of the step's pixels.

        Args:
            outputs: of the model.
            labels: (batch, height, width) class indices; 255 is ignored.
            num_items_in_batch: labels of all batches of the step, as ``Trainer`` counts them; None in an
                evaluation.
        """
        logits = outputs
        if not isinstance(outputs, Tensor):
            logits = outputs["logits"] if "logits" in outputs else outputs[0]
        if logits.shape[-2:] != labels.shape[-2:]:
            logits = nn.functional.interpolate(
                logits, size=labels.shape[-2:], mode="bilinear", align_corners=False
            )
        if self._criterion is None:  # an evaluation before any training
            self._criterion, _ = self.scheduled.to(logits.device).at(0)
        loss: Tensor = self._criterion(logits, labels)
        return loss if num_items_in_batch is None else loss * (labels.numel() / num_items_in_batch)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        """Check that this training can go by a schedule, and take it up where a checkpoint left it."""
        if args.lr_scheduler_type != "constant" or args.warmup_steps:
            problem = Problem(
                "the schedule sets the learning rate",
                key="lr_scheduler_type",
                found=f"{args.lr_scheduler_type.value} with warmup_steps {args.warmup_steps:g}",
                allowed="constant with warmup_steps 0",
            )
            raise UserError(problem)
        if self._following.waits and args.eval_strategy == "no":
            problem = Problem(
                "phases wait for metrics of an evaluation, and this training has none",
                key="eval_strategy",
                found=", ".join(sorted(self.scheduled.schedule.metrics)),
                hint="eval_strategy='epoch', with eval_dataset and compute_metrics, or leave metrics= out",
            )
            raise UserError(problem)
        try:
            batches = len(known["train_dataloader"])
        except TypeError:
            raise UserError("the training data have no length, and a schedule counts in epochs") from None
        self._steps = -(-batches // args.gradient_accumulation_steps)
        self.scheduled.to(args.device)
        self._following.forget()
        if _STATE in state.stateful_callbacks:
            self._following.load_state_dict(state.stateful_callbacks[_STATE])
        self._following.begin(state.global_step // self._steps, ends_by_itself=True)
        self._trains = True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        """Set the step's loss and learning rate, and clear the moments at the start of a fresh phase."""
        epoch, step = divmod(state.global_step, self._steps)
        cursor = self._following.at(epoch)
        self._criterion, rate = self.scheduled.of(cursor, step, self._steps)
        optimizer = known["optimizer"]
        if step == 0 and cursor.epochs_in_phase == 0 and cursor.epoch > 0 and not cursor.current.keep_moments:
            optimizer.state.clear()
        for group in optimizer.param_groups:
            group["lr"] = rate
        # After the step the constant scheduler sets the rate that it began with; what it set last is logged.
        scheduler, rates = known["lr_scheduler"], [rate] * len(optimizer.param_groups)
        scheduler.base_lrs = scheduler._last_lr = rates
        self._keep(state)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        """Note what was measured, so that a checkpoint saved now holds it.

        Raises:
            UserError: the evaluation doesn't log the schedule's metrics.
        """
        if self._trains:
            self._following.note(known.get("metrics") or {})
            self._keep(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        """Evaluations from here on are the user's own."""
        self._trains = False

    def _keep(self, state: TrainerState) -> None:
        # Not as an `ExportableState`: from one of these, Trainer would make another callback than the one
        # whose `compute_loss` it calls.
        if self._following.by_metrics:
            state.stateful_callbacks[_STATE] = self._following.state_dict()
