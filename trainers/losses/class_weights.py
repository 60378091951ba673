"""Class weights: given, or computed from how often each class occurs in the training masks."""

from __future__ import annotations

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.ramp import fixed
from lossweep.spaces.losses.terms import ClassWeights, EffectiveNumberWeights, FrequencyWeights
from lossweep.trainers.losses.statistics import Statistics


def class_weights(weights: ClassWeights, prior: ClassPrior) -> Tensor:
    """Return one weight a class, background first.

    Computed weights are relative to the commonest class, which has weight 1, and capped. A class that never
    occurs in the training masks has weight 1: no pixel of it exists to be weighted, and should one turn up
    later, a made-up infinite weight would do harm.

    Args:
        weights: the weights themselves, or how to compute them.
        prior: the classes' shares f of the labelled training pixels.

    Returns:
        (classes,) float64:
        ``(max f / f)^power`` for `FrequencyWeights`;
        ``(1 - beta^(max n)) / (1 - beta^n)`` with ``n = f / min f`` for `EffectiveNumberWeights` (Cui et al.,
        CVPR 2019, eq. 4). n counts pixels in units of the rarest class: in raw pixels, which number millions,
        beta below 0.999999 would leave every class with the same effective number.

    Raises:
        UserError: the number of weights is not the number of classes, or all are zero.
    """
    classes = len(prior.names)
    if isinstance(weights, tuple):
        if len(weights) != classes:
            raise UserError(
                Problem(
                    "one weight a class is needed",
                    key="weights",
                    found=f"{len(weights)} weights",
                    allowed=f"{classes} weights, for {', '.join(prior.names)}",
                )
            )
        if not any(weights):
            raise UserError(
                Problem("all class weights are zero", key="weights", allowed="at least one above 0")
            )
        return torch.tensor(weights, dtype=torch.float64)
    frequencies = torch.tensor(prior.frequencies, dtype=torch.float64)
    present = frequencies > 0
    if not present.any():
        return torch.ones(classes, dtype=torch.float64)
    frequencies = torch.where(present, frequencies, frequencies.max())
    return _relative(weights, frequencies).clamp(max=weights.cap).where(present, torch.tensor(1.0).double())


def _relative(weights: FrequencyWeights | EffectiveNumberWeights, frequencies: Tensor) -> Tensor:
    if isinstance(weights, FrequencyWeights):
        return (frequencies.max() / frequencies).pow(fixed(weights.power))
    effective = 1.0 - torch.pow(weights.beta, frequencies / frequencies.min())
    return effective.max() / effective


def pixel_weights(found: Statistics, weights: Tensor) -> Tensor:
    """Each pixel's class weight (N, H, W), 0 at ignored pixels, for class weights (classes,)."""
    if found.is_binary:
        # w[0] + (w[1] - w[0]) would lose the digits of a weight much smaller than the other.
        return torch.addcmul(found.labels * weights[1], found.labelled - found.labels, weights[0])
    return weights.index_select(0, found.labels.reshape(-1)).view_as(found.labels) * found.labelled
