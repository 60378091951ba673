"""A lack of memory and a lost GPU are known by what the libraries say."""

from __future__ import annotations

import pytest
import torch

from lossweep.trainers.gpu_errors import is_dead, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory"),
        torch.AcceleratorError("CUDA error: out of memory", 2),
    ],
)
def test_a_lack_of_memory_is_recognised_whoever_says_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_dead(error)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: misaligned address",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ],
)
def test_an_error_that_takes_the_gpu_is_recognised(words: str) -> None:
    assert is_dead(RuntimeError(words))
    assert is_dead(torch.AcceleratorError(words, 1))
    assert not is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Expected all tensors to be on the same device, but found at least two devices"),
        ValueError("CUDA error: device-side assert triggered"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        KeyError("out of memory"),
    ],
)
def test_other_errors_are_the_trials_own(error: Exception) -> None:
    assert not is_dead(error)
    assert not is_out_of_memory(error)
