"""The GPU that a process trains on: which one it is, and how much of its memory it may take."""

from __future__ import annotations

from typing import Final

import torch

CONTEXT_BYTES: Final = 768 * 2**20
"""Kept back from a share of a GPU for the CUDA context, which lies outside torch's allocator."""


def indexed(device: torch.device) -> torch.device:
    """Name the GPU that ``cuda`` means in this process: torch refuses a device without index in places."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def card() -> str | None:
    """The GPU that this process would train on, with its memory; None where there is none of NVIDIA's."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    return f"{found.name} ({found.total_memory / 2**30:.0f} GiB)"


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
