"""An exported schedule in one's own training: in a bare loop (`ScheduledLoss`), or in Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossweep.trainers.callbacks.scheduled_loss import ScheduledLoss

if TYPE_CHECKING:
    from lossweep.trainers.callbacks.lightning_callback import LossScheduleCallback

__all__ = ["LossScheduleCallback", "ScheduledLoss"]


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import, and is not installed with lossweep.
    if name == "LossScheduleCallback":
        from lossweep.trainers.callbacks.lightning_callback import LossScheduleCallback

        return LossScheduleCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
