"""A schedule in Lightning: weighted cross-entropy until recall is high, then Jaccard, twice.

The network and the images of train_with_a_schedule.py, in some seconds: python examples/train_in_lightning.py
Lightning comes by pip install lightning.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from train_with_a_schedule import SCHEDULE, images, recall_and_precision

from lossweep import ClassPrior, LossSchedule, LossScheduleCallback


class Segmentation(lightning.LightningModule):
    """A model that computes its loss as ``self.criterion``, which the schedule sets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.criterion: Any = None

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Return the loss of the phase that training is in."""
        pictures, masks = batch
        loss: Tensor = self.criterion(self.model(pictures), masks)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Log what phases end by, and say how far it is."""
        recall, precision = recall_and_precision(self.model, *batch)
        self.log_dict({"val/recall": recall, "val/precision": precision})
        loss, rate = " + ".join(self.criterion.names), self.trainer.optimizers[0].param_groups[0]["lr"]
        figures = f"recall {recall:.2f}  precision {precision:.2f}"
        print(f"epoch {self.current_epoch + 1}  {loss}  @{rate:g}  {figures}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """An optimizer without a scheduler: the schedule sets the learning rate."""
        return torch.optim.AdamW(self.parameters(), weight_decay=0.01, fused=True)


def main() -> None:
    """Train by the schedule, whose phases end by what the validation logs."""
    torch.manual_seed(0)
    pictures, masks = images(64, seed=1)
    share = float((masks == 1).float().mean())
    prior = ClassPrior(names=("background", "square"), frequencies=(1.0 - share, share))
    model = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 1, 5, padding=2))
    # From a sweep instead: LossScheduleCallback("best.yaml"), and max_epochs as in the sweep
    schedule = LossScheduleCallback(LossSchedule.parse(SCHEDULE), prior, metrics={"recall": "val/recall"})
    trainer = lightning.Trainer(
        max_epochs=-1,  # as long as the schedule takes
        num_sanity_val_steps=0,
        accelerator="cpu",
        gradient_clip_val=1.0,
        callbacks=[schedule],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    shown = DataLoader(TensorDataset(pictures, masks), batch_size=8, shuffle=True)
    unseen = DataLoader(TensorDataset(*images(32, seed=2)), batch_size=32)
    trainer.fit(Segmentation(model), shown, unseen)


if __name__ == "__main__":
    main()
