"""A user's own loss and model, passed through once as if on a GPU that need not be there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.trainers.determinism import isolated
from lossweep.trainers.fake_gpu import GpuPass, pass_on_gpu
from lossweep.trainers.losses import build_loss
from lossweep.trainers.maps.known import maps_of
from lossweep.trainers.models.building import is_own, raw_model
from lossweep.trainers.plan import ModelSpec


@dataclass(frozen=True, slots=True)
class OnGpu:
    """What is to be said of a part that is sound on a CPU.

    Attributes:
        fails: what would fail on a GPU, in every trial.
        suspicious: what is slow there, and what could not be seen.
    """

    fails: tuple[Problem, ...] = ()
    suspicious: tuple[Problem, ...] = ()


def loss_on_gpu(loss: ImportedLoss, prior: ClassPrior, tile: int = 64) -> OnGpu:
    """Say what a user's own loss would do on a GPU; none is needed to know.

    Args:
        loss: one for which `losses.rehearsal.rehearse` has nothing to say.
        prior: the classes.
        tile: side of a training crop, in pixels.
    """
    logits, target = torch.zeros(2, prior.channels, tile, tile), torch.zeros(2, tile, tile, dtype=torch.long)
    criterion = build_loss(loss, prior)
    maps = maps_of(target, criterion.maps, len(prior.names))
    return _said(pass_on_gpu(criterion, logits, target, maps), "term", loss.term, "loss")


def model_on_gpu(spec: ModelSpec, prior: ClassPrior, in_channels: int, tile: int = 64) -> OnGpu:
    """Say what a user's own model would do on a GPU in training; none of SMP's has to be asked.

    Args:
        spec: which model, one for which `loop.rehearsal.rehearse_model` has nothing to say.
        prior: its classes.
        in_channels: bands of an image.
        tile: side of a training crop, in pixels.
    """
    if not is_own(spec):
        return OnGpu()
    model = raw_model(spec, prior, in_channels, seed=0).train()
    with isolated(0, "rehearsal"):
        passed = pass_on_gpu(model, torch.zeros(2, in_channels, tile, tile))
    return _said(passed, "model.architecture", spec.architecture, "model")


def _said(passed: GpuPass, key: str, found: str, part: str) -> OnGpu:
    if passed.mixes:
        hint = f"register_buffer what the {part} keeps, and make what it needs on the device of its input"
        message = "on a GPU it would compute with a tensor that stays on the CPU, and every trial would fail"
        return OnGpu(fails=(Problem(message, key=key, found=found, hint=hint),))
    if passed.waits:
        message = f"on a GPU each pass would wait for it ({', '.join(passed.waits)}), which is slow"
        if passed.unfollowed:
            message += "; what comes after that could not be followed without one"
    elif passed.unfollowed:
        message = (
            f"whether it runs on a GPU can't be seen without one ({passed.unfollowed}): the first trial there"
            " tells"
        )
    else:
        return OnGpu()
    return OnGpu(suspicious=(Problem(message, key=key, found=found),))
