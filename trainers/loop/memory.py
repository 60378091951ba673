"""Out of memory: a clear outcome instead of whatever the device raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from lossweep.spaces.files.errors import LossweepError
from lossweep.trainers.plan import TrialPlan

T = TypeVar("T")


class OutOfMemory(LossweepError):
    """The device has no memory for the micro-batch. `TrialPlan.halved` gives the plan to try next.

    Attributes:
        micro_batch: images of the forward pass that did not fit.
    """

    def __init__(self, message: str, micro_batch: int) -> None:
        super().__init__(message)
        self.micro_batch = micro_batch

    def __reduce__(self) -> tuple[type[OutOfMemory], tuple[str, int]]:
        return type(self), (str(self), self.micro_batch)


def within_memory(plan: TrialPlan, work: Callable[[], T]) -> T:
    """Do some work, and turn a lack of the device's or the host's memory into `OutOfMemory`."""
    try:
        return work()
    except (torch.OutOfMemoryError, MemoryError) as error:
        shortage = str(error)
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        shortage = str(error)
    # Raised outside the handler: a chained traceback would hold on to the very tensors that fill the memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    images, line = plan.images_a_pass, shortage.partition("\n")[0]
    raise OutOfMemory(f"no memory for {images} images of {plan.data.tile} pixels in one pass: {line}", images)
