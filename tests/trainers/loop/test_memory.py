"""A training without memory has one outcome, whichever library ran out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lossweep.trainers.loop.memory import OutOfMemory, within_memory
from lossweep.trainers.plan import TrialPlan

Plans = Callable[..., TrialPlan]


def raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"),
        RuntimeError("CUDA error: out of memory\nmore"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`\nmore"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED\nmore"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore"),
        MemoryError("Unable to allocate 2 GiB\nmore"),
    ],
)
def test_whoever_has_no_memory_left_the_micro_batch_is_too_large(error: Exception, plan_of: Plans) -> None:
    plan = plan_of("dice @1e-3 x1", 1)
    with pytest.raises(OutOfMemory) as caught:
        within_memory(plan, raising(error))
    said = str(error).partition("\n")[0]
    assert str(caught.value) == f"no memory for 4 images of 64 pixels in one pass: {said}"
    assert caught.value.micro_batch == 4
    assert caught.value.__context__ is None, "its traceback would hold what fills the memory"


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert triggered"), KeyError("x")])
def test_what_is_no_lack_of_memory_stays_as_it_is(error: Exception, plan_of: Plans) -> None:
    with pytest.raises(type(error)) as caught:
        within_memory(plan_of("dice @1e-3 x1", 1), raising(error))
    assert caught.value is error
