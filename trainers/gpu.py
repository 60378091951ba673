"""The GPU that a process trains on: which one it is, its memory, and what its errors mean."""

from __future__ import annotations

from typing import Final

import torch

CONTEXT_BYTES: Final = 768 * 2**20
"""Kept back from a share of a GPU for the CUDA context, which lies outside torch's allocator."""

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


def indexed(device: torch.device) -> torch.device:
    """Name the GPU that ``cuda`` means in this process: torch refuses a device without index in places."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def room(device: torch.device) -> int:
    """Return the bytes of GPU memory that this process may still take: what is free, within its share.

    Several trials on one GPU are each held to a share of it, see `hold_to_share`.
    """
    device = indexed(device)
    free, total = torch.cuda.mem_get_info(device)
    share_of = getattr(torch.cuda, "get_per_process_memory_fraction", None)  # not before torch 2.8
    share = share_of(device) if share_of is not None else 1.0
    return min(free, int(share * total) - torch.cuda.memory_reserved(device))


def hold_to_share(gpus: float) -> None:
    """Hold this process to its share of the GPU: Ray's fraction is bookkeeping only.

    Args:
        gpus: GPUs that the process was given; whole ones and none are not bounded.
    """
    if not 0.0 < gpus < 1.0 or not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(0).total_memory
    # Without room for the contexts, processes that keep to their share still overflow the GPU.
    torch.cuda.set_per_process_memory_fraction(max(gpus / 2, gpus - CONTEXT_BYTES / total), 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that device or host have no memory left, whichever library says it.

    On a GPU that others share, CUDA itself and its libraries run out as well as torch's allocator, and say so
    by a plain RuntimeError.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
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
