"""An exported schedule in one's own training: in a bare loop, in Lightning, or in Hugging Face's Trainer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss

if TYPE_CHECKING:
    from lossweep.trainers.callbacks.lightning_callback import LossScheduleCallback
    from lossweep.trainers.callbacks.trainer_callback import LossScheduleTrainerCallback

__all__ = ["LossScheduleCallback", "LossScheduleTrainerCallback", "ScheduledLoss"]

_ROOMS: Final = {
    "LossScheduleCallback": "lossweep.trainers.callbacks.lightning_callback",
    "LossScheduleTrainerCallback": "lossweep.trainers.callbacks.trainer_callback",
}


def __getattr__(name: str) -> Any:
    # Lightning and transformers take seconds to import, and are not installed with lossweep.
    if name in _ROOMS:
        return getattr(importlib.import_module(_ROOMS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
