"""What errors of a GPU mean, by their names and words: no torch is imported only to ask."""

from __future__ import annotations

from typing import Final

_NO_MEMORY: Final = (
    "out of memory",  # torch's allocator, "CUDA error: out of memory", cudaErrorMemoryAllocation
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "defaultcpuallocator",
    "cudnn_status_internal_error_host_allocation_failed",
)
"""How torch, CUDA and its libraries say that there is no memory left, in lower case."""

_DEAD: Final = (
    "device-side assert",
    "unspecified launch failure",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "hardware stack error",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "gpu has fallen off the bus",
    "device is lost",
    "invalid program counter",
    "the launch timed out",
    "context is destroyed",
    "cudnn_status_execution_failed",
    "cublas_status_execution_failed",
)
"""Errors after which every further call on the device fails, in this process: in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that device or host have no memory left, whichever library says it.

    On a GPU that others share, CUDA itself and its libraries run out as well as torch's allocator, and say so
    by a plain RuntimeError.
    """
    if {"OutOfMemoryError", "MemoryError"} & {kind.__name__ for kind in type(error).__mro__}:
        return True
    return isinstance(error, RuntimeError) and _says(error, _NO_MEMORY)


def is_dead(error: BaseException) -> bool:
    """Whether an error leaves this process without its GPU: a device assert, a fault of memory or hardware.

    CUDA reports it at whichever call comes next, so that the trial that meets it need not be the one that
    caused it; only a new process has a GPU again.
    """
    return isinstance(error, RuntimeError) and _says(error, _DEAD)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
