"""A user's own loss computed once on a made-up batch, so that what is wrong with it shows before training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.trainers.losses.build import build_loss
from lossweep.trainers.losses.families.imported import check_importable


def rehearse(
    loss: ImportedLoss, prior: ClassPrior, tile: int = 64, passes: Sequence[int] = (2,)
) -> list[Problem]:
    """Say what is wrong with an imported loss: import it, build it, and compute value and gradient.

    It is computed on the CPU, on crops with every class and some ignored pixels.

    Args:
        loss: a user's own.
        prior: the classes.
        tile: side of a training crop, in pixels.
        passes: how many crops a forward pass may have; first of all the batch.

    Returns:
        What is wrong, with keys counted from the loss; an empty list when nothing is.
    """
    if problems := check_importable(loss):
        return problems
    first, *others = passes
    if message := _fault(loss, prior, tile, first):
        return [_wrong(loss, message)]
    for crops in others:
        if message := _fault(loss, prior, tile, crops):
            few = f"{crops} crop{'s' if crops > 1 else ''}"
            return [_wrong(loss, f"{message} (on {few} a pass, as when memory is short)")]
    return []


def _fault(loss: ImportedLoss, prior: ClassPrior, tile: int, crops: int) -> str:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(crops, prior.channels, tile, tile, generator=random, requires_grad=True)
    target = torch.randint(len(prior.names), (crops, tile, tile), generator=random)
    target[0, 0] = IGNORE_INDEX
    try:
        value = build_loss(loss, prior)(logits, target)
        if not value.requires_grad:
            return "its value has no gradient: compute it from the logits, in torch"
        value.backward()
    except UserError as error:
        return error.problems[0].message
    except Exception as error:  # a user's code may raise anything
        return f"computing it raised {type(error).__name__}: {error}".strip().splitlines()[0]
    if logits.grad is None:
        return "its value does not depend on the logits"
    if not value.isfinite() or not logits.grad.isfinite().all():
        return "its value or gradient is not finite on random logits with ignored pixels"
    return ""


def _wrong(loss: ImportedLoss, message: str) -> Problem:
    first, *_ = message.strip().splitlines() or [""]
    return Problem(
        first[:300],
        key="term",
        found=loss.term,
        allowed="called with (logits, target) it returns a scalar tensor; 255 in target is ignored",
    )
