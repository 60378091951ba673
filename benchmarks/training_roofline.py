"""How fast an eager training step could be at best on this machine, operation by operation.

Each operation takes at least its bytes over the machine's bandwidth and its multiplications over its peak,
both measured here in the same run; the sum over a step's operations is the roofline of the step (Williams
et al., 2009, applied to each operation, since eager operations don't overlap).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True, slots=True)
class Machine:
    """What a device reaches.

    Attributes:
        bytes_per_second: of a large copy, reads and writes counted.
        flops: of a large matrix product in the trial's precision.
    """

    bytes_per_second: float
    flops: float

    @classmethod
    def measured(cls, device: torch.device, dtype: torch.dtype) -> Machine:
        """Measure it."""
        large = 2**28 if device.type == "cuda" else 2**25
        source = torch.zeros(large, device=device)
        target = torch.empty_like(source)
        seconds = _best(lambda: target.copy_(source), device)
        side = 8192 if device.type == "cuda" else 2048
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        return cls(2 * source.nbytes / seconds, 2 * side**3 / _best(lambda: left @ right, device))


class Work(TorchDispatchMode):
    """Counts the bytes and multiplications of what runs within."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        known = {leaf.untyped_storage().data_ptr() for leaf in read}
        fresh = [leaf for leaf in written if leaf.untyped_storage().data_ptr() not in known]
        changed = [leaf for leaf in written if func._schema.is_mutable]
        if fresh or func._schema.is_mutable:  # else a view
            moved = sum(map(_size, read)) + sum(map(_size, fresh or changed))
            if func._schema.is_mutable and not written:
                moved += sum(map(_size, read))  # foreach and fused operations write what they were given
            count = flop_registry.get(func._overloadpacket)
            self.operations.append((str(func), moved, count(*args, **kwargs, out_val=result) if count else 0))
        return result

    def seconds(self, machine: Machine) -> float:
        """The roofline of all that was counted."""
        return sum(
            max(moved / machine.bytes_per_second, flops / machine.flops)
            for _, moved, flops in self.operations
        )


def _size(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _best(work: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    least = float("inf")
    for _ in range(rounds):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        least = min(least, time.perf_counter() - began)
    return least


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
