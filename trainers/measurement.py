"""A model measured on a split: one pass, one wait for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from spaces.class_prior import ClassPrior
from trainers.arithmetic import Arithmetic
from trainers.data.batches import Split
from trainers.metrics.meter import Measured, Meter
from trainers.plan import MeasureSpec, TrainingSpec


def evaluate_split(
    model: nn.Module,
    split: Split,
    prior: ClassPrior,
    measure: MeasureSpec,
    thresholds: float | Sequence[float] | None = None,
    *,
    training: TrainingSpec | None = None,
    device: torch.device | str | None = None,
    batch: int | None = None,
) -> Measured:
    """Measure a model on a whole split.

    Args:
        model: its weights are moved to the device; its mode (training or not) is put back.
        split: whole images in order, none augmented.
        prior: the classes.
        measure: object rules, floors and betas.
        thresholds: logit thresholds of the ``tuned_`` figures, one a foreground class, as validation gave
            them. Give them for the test split: None tunes them on the split itself, which is honest on
            validation only.
        training: whose precision and batch to use; the defaults of `TrainingSpec` when None.
        device: the GPU, when there is one, when None.
        batch: images of one forward pass; ``training.batch`` when None.

    Returns:
        The metrics, and the thresholds used.
    """
    training = training or TrainingSpec()
    arithmetic = Arithmetic.of(training, device)
    return measured(
        arithmetic.place(model), split, prior, measure, arithmetic, batch or training.batch, thresholds
    )


def measured(
    model: nn.Module,
    split: Split,
    prior: ClassPrior,
    measure: MeasureSpec,
    arithmetic: Arithmetic,
    batch: int,
    thresholds: float | Sequence[float] | None = None,
) -> Measured:
    """`evaluate_split` for a model that is in place."""
    meter = Meter(prior, measure, arithmetic.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for images in split.evaluation_batches(batch, arithmetic.device):
                with arithmetic.autocast():
                    logits = model(arithmetic.lay_out(images.images))
                meter.update(logits, images.masks)
    finally:
        model.train(was_training)
    return meter.compute(threshold=thresholds)
