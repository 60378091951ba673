"""The losses of a schedule before any training: whether one can learn by them, and which are alike."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossweep.spaces.losses.ramp import ramps, settled
from lossweep.spaces.losses.terms import Loss
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.crops.batches import Batch
from lossweep.trainers.data.loading import SegmentationData
from lossweep.trainers.determinism import isolated
from lossweep.trainers.evaluation import RehearsedLoss
from lossweep.trainers.guards import Rehearsal
from lossweep.trainers.loop.numerics import Numerics
from lossweep.trainers.losses import SegmentationLoss, build_loss
from lossweep.trainers.models.head import prior_logits

IMAGES: Final = 8
"""Crops that losses are compared on."""

SKETCH: Final = 32
"""Numbers of a sketch. Two unit vectors an angle a apart have sketches about a apart."""

_SPREAD: Final = 2.0
"""Standard deviation of the logits that gradients are compared by. A new model predicts the same everywhere,
and there any loss of single pixels looks like class weights: it has one derivative a class."""


def rehearsed_losses(
    schedule: LossSchedule, data: SegmentationData, numerics: Numerics
) -> tuple[RehearsedLoss, ...]:
    """Return each distinct loss of a schedule on the rehearsal batch, in the order of the phases.

    It takes no model: what is found follows from the loss and the data.
    """
    distinct = {phase.loss: phase.loss_name for phase in schedule.phases}
    criteria = {loss: _built(loss, data, numerics) for loss in distinct}
    batch = _batch(data, numerics, [*criteria.values()])
    shape = len(batch), data.prior.channels, *batch.masks.shape[1:]
    start = prior_logits(data.prior).to(batch.masks.device)[:, None, None].expand(shape)
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * _SPREAD
    found = []
    for loss, criterion in criteria.items():
        _, at_start = _gradient(criterion, start, batch)
        gradient = _size(at_start)
        _, by_drawn = _gradient(criterion, torch.from_numpy(drawn).to(start.device), batch)
        strength, sketch = _sketched(by_drawn.cpu().double().numpy().ravel())
        if any(ramps(loss)):
            strength, sketch = 0.0, ()  # half-way two may be the same, and part before and after
        found.append(
            RehearsedLoss(distinct[loss], gradient if np.isfinite(gradient) else None, strength, sketch)
        )
    return tuple(found)


def rehearsal(
    loss: Loss, model: nn.Module, data: SegmentationData, numerics: Numerics, images: int
) -> Rehearsal | None:
    """Return a loss on what a model predicts of the rehearsal batch; the model is left as it was.

    Args:
        loss: of the first phase.
        model: on the device, before its first step.
        data: with the batch.
        numerics: device and precision.
        images: of one pass of training.

    Returns:
        None where the model's own logits are not finite: that is no fault of the loss.
    """
    criterion = _built(loss, data, numerics)
    batch = _batch(data, numerics, [criterion], images)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    was_training = model.training
    model.train()
    try:
        with torch.no_grad(), numerics.autocast():
            logits: Tensor = model(numerics.lay_out(batch.images))
    finally:
        model.train(was_training)
        with torch.no_grad():
            for name, buffer in model.named_buffers():  # the running moments of its normalizations
                buffer.copy_(buffers[name])
    if not logits.isfinite().all():
        return None
    value, gradient = _gradient(criterion, logits, batch)
    return Rehearsal(float(value), _size(gradient))


def _built(loss: Loss, data: SegmentationData, numerics: Numerics) -> SegmentationLoss:
    """A loss that no phase trains with: a user's may remember what it was called with.

    Its ramps are half-way: at either end a weight may be 0, and no gradient there is no fault.
    """
    with isolated(0, "rehearsal"):
        return numerics.place_loss(build_loss(settled(loss, 0.5), data.prior))


def _batch(
    data: SegmentationData, numerics: Numerics, criteria: list[SegmentationLoss], images: int = IMAGES
) -> Batch:
    maps = dict.fromkeys(name for criterion in criteria for name in criterion.maps)
    return data.train.rehearsal_batch(images, numerics.device, tuple(maps))


def _gradient(criterion: SegmentationLoss, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss, and its gradient by the logits; 0 where it does not depend on them."""
    logits = logits.detach().float().contiguous().requires_grad_()
    with isolated(0, "rehearsal", device=logits.device), torch.enable_grad():
        loss = criterion(logits, batch.masks, batch.maps)
        found = torch.autograd.grad(loss, logits, allow_unused=True) if loss.requires_grad else (None,)
    return loss.detach(), torch.zeros_like(logits) if found[0] is None else found[0]


def _size(gradient: Tensor) -> float:
    """Return the sum of its absolute values, taken on the host: Apple's GPUs have no float64."""
    return float(gradient.cpu().double().abs().sum())


def _sketched(gradient: NDArray[np.float64]) -> tuple[float, tuple[float, ...]]:
    """Return the norm of a gradient, and the sums of its parts under random signs, divided by that."""
    norm = float(np.linalg.norm(gradient))
    if not np.isfinite(norm) or norm == 0.0:
        return 0.0, ()
    signs = np.random.default_rng(1).integers(0, 2, len(gradient), np.int8) * 2 - 1
    signed = np.zeros(-(-len(gradient) // SKETCH) * SKETCH)
    signed[: len(gradient)] = gradient / norm * signs
    return norm, tuple(round(float(part), 6) for part in signed.reshape(-1, SKETCH).sum(0))
