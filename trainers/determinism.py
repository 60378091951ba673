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


class RandomNumbers:
    """Random numbers (Python's, NumPy's, torch's) of a computation's own.

    They start from a seed, and go on where they stopped when the computation is taken up again.

    Args:
        seed: of the trial.
        path: what they are for.
        device: whose generator is meant beside the CPU's.
    """

    def __init__(self, seed: int, *path: int | str, device: torch.device | None = None) -> None:
        self._seed = derived_seed(seed, *path)
        kind = device.type if device is not None else "cpu"
        self._gpus = [device] if device is not None and kind == "cuda" else []
        self._apple = kind == "mps"
        self._stopped: tuple[Any, ...] | None = None

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw them, and leave the process's as they were."""
        python, numpy = random.getstate(), np.random.get_state()
        apple = torch.mps.get_rng_state() if self._apple else None
        with torch.random.fork_rng(devices=self._gpus):
            try:
                self._start()
                yield
                self._stopped = (
                    random.getstate(),
                    np.random.get_state(),
                    torch.get_rng_state(),
                    [torch.cuda.get_rng_state(each) for each in self._gpus],
                    torch.mps.get_rng_state() if self._apple else None,
                )
            finally:
                random.setstate(python)
                np.random.set_state(numpy)
                if apple is not None:
                    torch.mps.set_rng_state(apple)

    def _start(self) -> None:
        if self._stopped is not None:
            python, numpy, cpu, gpus, apple = self._stopped
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_rng_state(cpu)
            for each, state in zip(self._gpus, gpus, strict=True):
                torch.cuda.set_rng_state(state, each)
            if apple is not None:
                torch.mps.set_rng_state(apple)
            return
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)
        torch.default_generator.manual_seed(self._seed)
        for each in self._gpus:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(self._seed)
        if self._apple:
            torch.mps.manual_seed(self._seed)


@contextmanager
def isolated(
    seed: int | RandomNumbers,
    *path: int | str,
    device: torch.device | None = None,
    threads: int | None = None,
    deterministic: bool = True,
    tf32: bool = False,
) -> Iterator[None]:
    """Compute from a seed of one's own, and leave the process's random numbers and settings as they were.

    Threads are pinned, since the order of a sum depends on their number. Never hold it across a ``yield`` of
    a generator: its consumer would compute inside. Hold it twice instead, with the same `RandomNumbers`.

    Args:
        seed: of the trial; or random numbers to go on with.
        path: what the random numbers are for.
        device: whose generator is seeded beside the CPU's.
        threads: of one operation; as they are when None.
        deterministic: use deterministic algorithms where there are some.
        tf32: let a GPU multiply float32 with ten bits of mantissa.
    """
    numbers = seed if isinstance(seed, RandomNumbers) else RandomNumbers(seed, *path, device=device)
    threads_before = torch.get_num_threads()
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    allowed = _tf32()
    memory: Any = torch.utils.deterministic  # a module whose attribute is a property: mypy does not see it
    filling = memory.fill_uninitialized_memory
    with numbers.drawn(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not (have a )?deterministic")
        try:
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
