"""What a computation depends on: its own seed and threads, never on what else ran in the process."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lossweep.spaces.seeds import derived_seed


@contextmanager
def isolated(
    seed: int,
    *path: int | str,
    device: torch.device | None = None,
    threads: int | None = None,
    deterministic: bool = True,
    tf32: bool = False,
) -> Iterator[None]:
    """Compute from a seed of one's own, and leave the process's random numbers and settings as they were.

    Random numbers (Python's, NumPy's, torch's) start from the seed and are put back afterwards; threads are
    pinned, since the order of a sum depends on their number. Never hold it across a ``yield`` of a generator:
    its consumer would compute inside.

    Args:
        seed: of the trial.
        path: what the random numbers are for.
        device: whose generator is seeded beside the CPU's.
        threads: of one operation; as they are when None.
        deterministic: use deterministic algorithms where there are some.
        tf32: let a GPU multiply float32 with ten bits of mantissa.
    """
    python, numpy = random.getstate(), np.random.get_state()
    threads_before = torch.get_num_threads()
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    allowed = _tf32()
    memory: Any = torch.utils.deterministic  # a module whose attribute is a property: mypy does not see it
    filling = memory.fill_uninitialized_memory
    cuda = [device] if device is not None and device.type == "cuda" else []
    apple = torch.mps.get_rng_state() if device is not None and device.type == "mps" else None
    own = derived_seed(seed, *path)
    with torch.random.fork_rng(devices=cuda), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not (have a )?deterministic")
        try:
            random.seed(own)
            np.random.seed(own % 2**32)
            torch.default_generator.manual_seed(own)
            for each in cuda:
                with torch.cuda.device(each):
                    torch.cuda.manual_seed(own)
            if apple is not None:
                torch.mps.manual_seed(own)
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            memory.fill_uninitialized_memory = False
            _allow_tf32(tf32, tf32)
            if threads is not None and threads != threads_before:
                torch.set_num_threads(threads)
            yield
        finally:
            if torch.get_num_threads() != threads_before:
                torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            memory.fill_uninitialized_memory = filling
            _allow_tf32(*allowed)
            random.setstate(python)
            np.random.set_state(numpy)
            if apple is not None:
                torch.mps.set_rng_state(apple)


@contextmanager
def in_any_order() -> Iterator[None]:
    """Compute what no order can change, sums of integers, by the fast kernels.

    Deterministic kernels sort before they add; on a GPU that takes many times as long.
    """
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _tf32() -> tuple[bool, bool]:
    """Whether convolutions and matrix products may use it."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def _allow_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products
