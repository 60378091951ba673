"""Out of memory: a clear outcome instead of whatever the device raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from lossweep.spaces.files.errors import LossweepError
from lossweep.trainers.gpu_errors import is_out_of_memory
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


class EvaluationTooLarge(LossweepError):
    """No memory for the smallest pass of an evaluation. A smaller micro-batch in training would not help."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What the device, or the host, said when it had no memory left; its first line."""

    line: str


def attempted(work: Callable[[], T]) -> T | Shortage:
    """Do some work, and return a lack of memory instead of raising it.

    A handler that went on from there would hold on to the very tensors that fill the memory, by way of the
    traceback.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        shortage = Shortage(str(error).partition("\n")[0])
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    return shortage


def within_memory(plan: TrialPlan, work: Callable[[], T]) -> T:
    """Do some training, and turn a lack of memory into `OutOfMemory`."""
    result = attempted(work)
    if isinstance(result, Shortage):
        images, tile = plan.images_a_pass, plan.data.tile
        raise OutOfMemory(
            f"no memory for {images} images of {tile} pixels in one pass: {result.line}", images
        )
    return result
