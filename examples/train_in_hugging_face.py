"""A schedule in Hugging Face's Trainer: weighted cross-entropy until recall is high, then Jaccard, twice.

The network and images of train_with_a_schedule.py, in some seconds: python examples/train_in_hugging_face.py
The library comes by pip install "transformers[torch]". One of its own models, such as
SegformerForSemanticSegmentation.from_pretrained(..., num_labels=1), takes the place of `Network` as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from train_with_a_schedule import SCHEDULE, images
from transformers import EvalPrediction, Trainer, TrainingArguments

from lossweep import ClassPrior, LossSchedule, LossScheduleTrainerCallback


class Network(nn.Module):
    """Any model, called as the library's own are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return logits (N, K, H, W)."""
        return {"logits": self.model(pixel_values)}


class Pictures(Dataset[dict[str, Tensor]]):
    """Images and masks by the names that the Trainer knows."""

    def __init__(self, pictures: Tensor, masks: Tensor) -> None:
        self.pictures, self.masks = pictures, masks

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.pictures[index], "labels": self.masks[index]}


def recall(found: EvalPrediction) -> dict[str, float]:
    """Return what phases end by, over all pixels."""
    called, true = found.predictions[:, 0] > 0, found.label_ids == 1
    return {"recall": float((called & true).sum() / true.sum())}


def main(folder: Path) -> None:
    """Train by the schedule, whose phases end by what the evaluations log; checkpoints go to the folder."""
    torch.manual_seed(0)
    pictures, masks = images(64, seed=1)
    share = float((masks == 1).float().mean())
    prior = ClassPrior(names=("background", "square"), frequencies=(1.0 - share, share))
    model = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 1, 5, padding=2))
    # From a sweep instead: LossScheduleTrainerCallback("best.yaml")
    schedule = LossScheduleTrainerCallback(
        LossSchedule.parse(SCHEDULE), prior, metrics={"recall": "eval_recall"}
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=8,
        per_device_train_batch_size=8,
        lr_scheduler_type="constant",
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        label_names=["labels"],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        Network(model),
        arguments,
        train_dataset=Pictures(pictures, masks),
        eval_dataset=Pictures(*images(32, seed=2)),
        compute_metrics=recall,
        compute_loss_func=schedule.compute_loss,
        callbacks=[schedule],
    )
    trainer.train()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "trained"))
