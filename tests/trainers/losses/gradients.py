"""What tests of losses compare: a value and its gradient by the logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Loss
from lossweep.trainers.losses import build_loss


def value_and_gradient(
    step: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Of anything called with (logits, target)."""
    logits = logits.detach().clone().requires_grad_()
    value = step(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def of_loss(loss: Loss, prior: ClassPrior, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of a loss as data."""
    return value_and_gradient(build_loss(loss, prior), logits, target)
