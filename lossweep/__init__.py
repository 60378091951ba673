"""lossweep: hyperparameter search that treats the loss function as a hyperparameter.

The names a user imports, which are kept stable (CHANGELOG.md says what that means). Each is loaded when it is
first used, so that ``import lossweep`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from lossweep.search.running.driver import run_sweep
    from lossweep.search.sweep_spec import SweepSpec
    from lossweep.spaces.class_prior import ClassPrior
    from lossweep.spaces.files.errors import LossweepError, UserError
    from lossweep.spaces.schedules.schedule import LossSchedule
    from lossweep.sweeping import Sweep, sweep
    from lossweep.trainers.callbacks import LossScheduleCallback, LossScheduleTrainerCallback, ScheduledLoss
    from lossweep.trainers.losses import build_loss

__all__ = [
    "ClassPrior",
    "LossSchedule",
    "LossScheduleCallback",
    "LossScheduleTrainerCallback",
    "LossweepError",
    "ScheduledLoss",
    "Sweep",
    "SweepSpec",
    "UserError",
    "build_loss",
    "run_sweep",
    "sweep",
]

_HOMES = {
    "ClassPrior": "lossweep.spaces.class_prior",
    "LossSchedule": "lossweep.spaces.schedules.schedule",
    "LossScheduleCallback": "lossweep.trainers.callbacks",
    "LossScheduleTrainerCallback": "lossweep.trainers.callbacks",
    "LossweepError": "lossweep.spaces.files.errors",
    "ScheduledLoss": "lossweep.trainers.callbacks",
    "Sweep": "lossweep.sweeping",
    "SweepSpec": "lossweep.search.sweep_spec",
    "UserError": "lossweep.spaces.files.errors",
    "build_loss": "lossweep.trainers.losses",
    "run_sweep": "lossweep.search.running.driver",
    "sweep": "lossweep.sweeping",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lossweep")
    if name not in _HOMES:
        raise AttributeError(f"module 'lossweep' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
