"""lossweep: hyperparameter search that treats the loss function as a hyperparameter.

The few names a user imports. Each is loaded when it is first used, so that ``import lossweep`` costs nothing.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossweep.spaces.schedules.schedule import LossSchedule
    from lossweep.trainers.callbacks import LossScheduleCallback, ScheduledLoss

__version__ = version("lossweep")
__all__ = ["LossSchedule", "LossScheduleCallback", "ScheduledLoss"]

_HOMES = {
    "LossSchedule": "lossweep.spaces.schedules.schedule",
    "LossScheduleCallback": "lossweep.trainers.callbacks",
    "ScheduledLoss": "lossweep.trainers.callbacks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lossweep' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
