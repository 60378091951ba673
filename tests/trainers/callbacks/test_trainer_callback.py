"""An exported schedule in Hugging Face's Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import UserError
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.callbacks import LossScheduleTrainerCallback

PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.9, 0.1))
METRICS = {"recall": "eval_recall"}
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(nn.Module):
    """One layer, whose logits are a quarter of the masks' size, as SegFormer's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 1, 4, stride=4)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(pixel_values)}


class Pictures(Dataset[dict[str, Tensor]]):
    """Six of 16 x 16 pixels: three batches of two."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pixels = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(index))
        return {"pixel_values": pixels, "labels": (pixels[0] > 1).long()}


class Endless(IterableDataset[dict[str, Tensor]]):
    def __iter__(self) -> Any:
        yield from Pictures()


class Noting(TrainerCallback):
    """Notes what each step is trained with.

    Attributes:
        seen: (step, rate, the optimizer's states) at the beginning of each step.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, int]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        optimizer = known["optimizer"]
        self.seen.append((state.global_step, optimizer.param_groups[0]["lr"], len(optimizer.state)))


class Run:
    """A trainer of the small model, and what it saw.

    Attributes:
        names: the loss's first term, at each batch that was trained.
        losses: its values, by the same.
    """

    def __init__(
        self,
        folder: Path,
        schedule: LossScheduleTrainerCallback,
        recalls: tuple[float, ...] = (),
        **options: Any,
    ) -> None:
        self.names: list[str] = []
        self.losses: list[float] = []
        self.noting, self.schedule = Noting(), schedule
        self._recalls = iter(recalls)
        told: dict[str, Any] = {
            "output_dir": str(folder),
            "per_device_train_batch_size": 2,
            "lr_scheduler_type": "constant",
            "eval_strategy": "epoch" if recalls else "no",
            "save_strategy": "no",
            "label_names": ["labels"],
            "logging_steps": 1,
            "use_cpu": True,
            "disable_tqdm": True,
        }
        data = options.pop("train_dataset", Pictures())
        self.trainer = Trainer(
            Model(),
            TrainingArguments(**told | options),
            train_dataset=data,
            eval_dataset=Pictures() if recalls else None,
            compute_metrics=self._measured if recalls else None,
            compute_loss_func=self._loss,
            callbacks=[schedule, self.noting],
        )

    def _measured(self, found: EvalPrediction) -> dict[str, float]:
        return {"recall": next(self._recalls)}

    def _loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        loss = self.schedule.compute_loss(outputs, labels, num_items_in_batch=num_items_in_batch)
        if self.trainer.model.training:
            self.names.append(self.schedule._criterion.names[0])
            self.losses.append(loss.item())
        return loss

    @property
    def epochs(self) -> list[str]:
        """The loss of each epoch."""
        return self.names[::3]


def callback(line: str, metrics: dict[str, str] | None = None) -> LossScheduleTrainerCallback:
    return LossScheduleTrainerCallback(LossSchedule.parse(line), PRIOR, metrics=metrics)


def test_the_schedule_trains_the_model(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    schedule = LossSchedule.parse("weighted_ce(weights=[1, 9]) @1e-2 x2 -> jaccard @1e-3 x1 fresh | 2 cycles")
    path.write_text(schedule.to_yaml() + "classes: [background, vehicle]\n")
    run = Run(tmp_path / "out", LossScheduleTrainerCallback(path), num_train_epochs=6)
    run.trainer.train()
    assert run.epochs == ["weighted_ce", "weighted_ce", "jaccard"] * 2
    rates = [rate for _, rate, _ in run.noting.seen]
    assert rates == [*[1e-2] * 6, *[1e-3] * 3] * 2
    # The moments are there from the second step on, and gone at each fresh phase's start.
    empty = [step for step, _, states in run.noting.seen if not states]
    assert empty == [0, 6, 15]
    logged = [each["learning_rate"] for each in run.trainer.state.log_history if "learning_rate" in each]
    assert logged == rates, "the Trainer's own log says the schedule's rate"


def test_a_steps_batches_count_by_their_pixels(tmp_path: Path) -> None:
    whole = Run(tmp_path, callback("dice(reduction=image) @1e-2 x2"), num_train_epochs=2,
                per_device_train_batch_size=6)  # fmt: skip
    cut = Run(tmp_path, callback("dice(reduction=image) @1e-2 x2"), num_train_epochs=2,
              per_device_train_batch_size=4, gradient_accumulation_steps=2)  # fmt: skip
    for run in (whole, cut):
        run.trainer.train()
    first, second = (sum(cut.losses[start : start + 2]) for start in (0, 2))
    assert (first, second) == pytest.approx(tuple(whole.losses), rel=1e-5)
    for mine, other in zip(cut.trainer.model.parameters(), whole.trainer.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


WAITS = "cross_entropy @1e-2 until recall>=0.9 in 1..9 back <0.3 -> jaccard @1e-3 x9"
RECALLS = (0.5, 0.95, 0.6, 0.2, 0.95, 0.95)
EXPECTED = ["cross_entropy", "cross_entropy", "jaccard", "jaccard", "cross_entropy", "jaccard"]


@pytest.mark.parametrize("restored", [False, True])
def test_metrics_switch_the_phase_and_survive_a_checkpoint(tmp_path: Path, restored: bool) -> None:
    whole = Run(tmp_path / "whole", callback(WAITS, METRICS), RECALLS, num_train_epochs=6)
    whole.trainer.train()
    assert whole.epochs == EXPECTED

    first = Run(
        tmp_path / "parts", callback(WAITS, METRICS), RECALLS, num_train_epochs=3, save_strategy="epoch"
    )
    first.trainer.train()
    options = {"num_train_epochs": 6, "restore_callback_states_from_checkpoint": restored}
    second = Run(tmp_path / "parts", callback(WAITS, METRICS), RECALLS[3:], **options)
    second.trainer.train(resume_from_checkpoint=True)
    assert first.epochs + second.epochs == EXPECTED
    for mine, other in zip(second.trainer.model.parameters(), whole.trainer.model.parameters(), strict=True):
        assert torch.equal(mine, other)
    third = Run(tmp_path / "parts", callback("dice @1e-2 x9", METRICS), RECALLS[3:], **options)
    with pytest.raises(UserError, match="the checkpoint was trained by another schedule"):
        third.trainer.train(resume_from_checkpoint=True)


def test_evaluations_after_training_are_the_users_own(tmp_path: Path) -> None:
    run = Run(tmp_path, callback("cross_entropy @1e-2 x1", METRICS), (0.1, 0.2), num_train_epochs=1)
    run.trainer.train()
    assert run.trainer.evaluate(metric_key_prefix="test")["test_recall"] == 0.2


def test_a_training_that_does_not_fit_is_told(tmp_path: Path) -> None:
    def refused(words: str, schedule: LossScheduleTrainerCallback, **options: Any) -> None:
        run = Run(tmp_path, schedule, **options)
        with pytest.raises(UserError, match=words):
            run.trainer.train()
        assert not run.names, "refused before the first step"

    refused("sets the learning rate.*found linear", callback("dice @1e-3 x1"), lr_scheduler_type="linear")
    refused("sets the learning rate.*warmup_steps 5", callback("dice @1e-3 x1"), warmup_steps=5)
    refused("wait for metrics of an evaluation.*found recall", callback(WAITS, METRICS))
    refused("have no length", callback("dice @1e-3 x1"), train_dataset=Endless(), max_steps=3)
    with pytest.raises(UserError, match="phases wait for a metric; found recall"):
        callback(WAITS, {"precision": "eval_precision"})
    run = Run(tmp_path, callback(WAITS, {"recall": "eval_rcall"}), (0.5, 0.5), num_train_epochs=2)
    with pytest.raises(UserError, match="not logged; found eval_rcall"):
        run.trainer.train()
