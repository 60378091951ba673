"""Three ways to train the same model on the same scenes: lossweep's loop, a bare PyTorch loop, Lightning."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.data.sources.scenes import Scenes
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.loop.training import train
from lossweep.trainers.losses import build_loss
from lossweep.trainers.models import build_model
from lossweep.trainers.plan import TrialPlan

LOSS = "weighted_ce(weights=[1, 10])"
RATE = 1e-3


def ours(plan: TrialPlan, data: SegmentationData, device: torch.device) -> Iterator[float]:
    """Yield images/s of epoch after epoch of `train`: guards, logs and switches included, evaluation not."""
    for evaluation in train(plan, data, device=device):
        yield evaluation.images_per_second


def bare(plan: TrialPlan, data: SegmentationData, device: torch.device) -> Iterator[float]:
    """Yield images/s of a hand-written loop: same model, kernels, precision and resident data, no more."""
    training, numerics = plan.training, Numerics.of(plan.training, device)
    model = build_model(plan.model, data.prior, data.channels, plan.seed).to(device)
    if training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    criterion = build_loss(plan.schedule.phases[0].loss, data.prior).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=training.weight_decay, fused=True)
    torch.set_num_threads(training.threads)
    for epoch in range(plan.epochs):
        began, images = time.perf_counter(), 0
        model.train()
        for batch in data.train.training_batches(plan.seed, epoch, training.batch, device):
            with numerics.autocast():
                logits = model(batch.images)
            optimizer.zero_grad(set_to_none=True)
            criterion(logits, batch.masks).backward()
            if training.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
            optimizer.step()
            images += len(batch.images)
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield images / (time.perf_counter() - began)


def lightning(
    plan: TrialPlan, folder: Path, device: torch.device, precision: str, workers: int, images: int
) -> Iterator[float]:
    """Yield images/s of Lightning over PNG files, as a competent user writes it; validation is not counted.

    Progress bar, logger and checkpoints are off; workers persist; memory is pinned for a GPU.
    """
    import lightning.pytorch as pl

    torch.set_num_threads(plan.training.threads)
    clock = _clock(pl.Callback)()
    loader = DataLoader(
        PngScenes(folder, images, plan.data.tile),
        plan.training.batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    trainer = pl.Trainer(
        max_epochs=0,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=precision,  # type: ignore[arg-type]  # one of Lightning's literals
        gradient_clip_val=plan.training.clip_norm,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    module = _module(pl.LightningModule)(plan)
    for _ in range(plan.epochs):
        # Two epochs a turn, of which the second counts: starting the workers belongs to no epoch.
        trainer.fit_loop.max_epochs = (trainer.fit_loop.max_epochs or 0) + 2
        trainer.fit(module, loader)
        yield len(loader) * plan.training.batch / clock.seconds


class PngScenes(Dataset[tuple[Tensor, Tensor]]):
    """Decodes, crops and augments an image at a time, as a user's Dataset does."""

    def __init__(self, folder: Path, length: int, tile: int) -> None:
        self.paths = sorted((folder / "images").glob("*.png"))
        self.length, self.tile = length, tile

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path = self.paths[index % len(self.paths)]
        with Image.open(path) as file:
            image = np.asarray(file)
        with Image.open(path.parents[1] / "masks" / path.name) as file:
            mask = np.asarray(file)
        top = random.randint(0, image.shape[0] - self.tile)
        left = random.randint(0, image.shape[1] - self.tile)
        image = image[top : top + self.tile, left : left + self.tile]
        mask = mask[top : top + self.tile, left : left + self.tile]
        turns, flip = random.randint(0, 3), random.random() < 0.5
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
        if flip:
            image, mask = image[:, ::-1], mask[:, ::-1]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div_(255)
        pixels = pixels.mul_(random.uniform(0.9, 1.1)).add_(random.uniform(-0.02, 0.02))
        pixels = (pixels - 0.45) / 0.22
        return pixels, torch.from_numpy(np.ascontiguousarray(mask)).float()


def write_scenes(spec: ScenesSource, folder: Path) -> None:
    """Write the training scenes as PNG files."""
    scenes = Scenes(spec)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for item in scenes.listing().of("train"):
        decoded = scenes.decode(item)
        Image.fromarray(decoded.image).save(folder / "images" / f"{item.name}.png")
        Image.fromarray(decoded.mask).save(folder / "masks" / f"{item.name}.png")


def schedule(epochs: int) -> LossSchedule:
    """One phase of the loss that every contender trains with."""
    return LossSchedule.parse(f"{LOSS} @{RATE} x{epochs}")


def _module(base: Any) -> Any:
    from torchmetrics import MetricCollection
    from torchmetrics.classification import BinaryF1Score, BinaryJaccardIndex, BinaryPrecision, BinaryRecall

    class Segmenter(base):  # type: ignore[misc]  # Lightning is imported late
        def __init__(self, plan: TrialPlan) -> None:
            super().__init__()
            model = plan.model
            self.model = smp.create_model(
                model.architecture, model.encoder, encoder_weights=None, classes=1, **model.options
            )
            self.loss = smp.losses.SoftBCEWithLogitsLoss(pos_weight=torch.tensor([10.0]))
            figures = (BinaryPrecision(), BinaryRecall(), BinaryF1Score(), BinaryJaccardIndex())
            self.metrics = MetricCollection({type(each).__name__: each for each in figures}, prefix="train/")

        def training_step(self, batch: Any, index: int) -> Tensor:
            images, masks = batch
            logits = self.model(images)
            loss: Tensor = self.loss(logits, masks[:, None])
            self.log("train/loss", loss, on_step=False, on_epoch=True)
            self.metrics.update(logits.detach()[:, 0], masks.int())
            return loss

        def on_train_epoch_end(self) -> None:
            self.log_dict(self.metrics.compute())
            self.metrics.reset()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), RATE)

    return Segmenter


def _clock(base: Any) -> Any:
    class Clock(base):  # type: ignore[misc]  # Lightning is imported late
        seconds = 0.0

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.began

    return Clock
