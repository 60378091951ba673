"""An exported schedule as a Python file: the schedule, its losses, and the loop that follows it."""

from __future__ import annotations

from typing import Final

from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.plan import TrainingSpec

_CODE: Final = '''\
"""{title}

Needs lossweep and torch. `train` follows the schedule as the exported training did, epoch by epoch.
"""

import torch
from torch import nn

from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.spaces.schedules.schedule_file import ScheduleFile
from lossweep.trainers.callbacks import ScheduledLoss

SCHEDULE = ScheduleFile(
    **dict(LossSchedule.parse({line!r})),
    classes={classes!r},
    frequencies={frequencies!r},
    realised={realised!r},
)
THRESHOLD = {threshold!r}  # on logits: from there on a pixel is foreground


def train(model, loader, device="cpu"):
    """Train a model in place.

    Args:
        model: gives logits (N, {channels}, H, W).
        loader: yields images (N, bands, H, W) and masks (N, H, W) of class indices, 255 ignored.
        device: where to train.
    """
    scheduled = ScheduledLoss(SCHEDULE).to(device)
    model.to(device).train()
    optimizer = torch.optim.{optimizer}
    for epoch in range(scheduled.epochs):
        position = scheduled.position(epoch)
        if epoch and position.epochs_in_phase == 0 and not position.current.keep_moments:
            optimizer.state.clear()
        for step, (images, masks) in enumerate(loader):
            criterion, learning_rate = scheduled.at(epoch, step, len(loader))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.zero_grad()
            criterion(model(images.to(device)), masks.to(device)).backward()
{clip}            optimizer.step()
    return model
'''
_CLIP: Final = "            nn.utils.clip_grad_norm_(model.parameters(), {norm!r})\n"


def python_code(exported: ScheduleFile, training: TrainingSpec) -> str:
    """Return a Python file that trains by an exported schedule, in a plain torch loop.

    Args:
        exported: the schedule with its classes and threshold.
        training: how the sweep trained it: optimizer, weight decay, momentum and clipping are written out.
    """
    if training.optimizer == "adamw":
        optimizer = f"AdamW(model.parameters(), weight_decay={training.weight_decay!r})"
    else:
        optimizer = (
            f"SGD(model.parameters(), momentum={training.momentum!r}, weight_decay={training.weight_decay!r})"
        )
    told = exported.provenance
    classes = exported.classes or ()
    return _CODE.format(
        title=f"The loss schedule of trial {told.get('trial')} of sweep {told.get('sweep')}, from lossweep.",
        line=str(exported.schedule),
        classes=exported.classes,
        frequencies=exported.frequencies,
        realised=[stay.model_dump() for stay in exported.realised],
        threshold=exported.logit_threshold,
        channels=1 if len(classes) == 2 else len(classes),
        optimizer=optimizer,
        clip="" if training.clip_norm is None else _CLIP.format(norm=training.clip_norm),
    )
