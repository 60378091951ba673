"""What a trial takes of its machine: cores and memory of its own process, and memory of its own GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import torch

try:
    import psutil
except ModuleNotFoundError:  # trainers alone, on a bare machine
    psutil = None

CORES: Final = "cores"
MEMORY: Final = "memory_mib"
GPU_MEMORY: Final = "gpu_memory_mib"
_MIB: Final = 2**20


class OwnUse:
    """What this process used since the last `taken`; other processes of the machine and its GPUs don't count.

    Args:
        device: that the trial trains on.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._process = psutil.Process() if psutil is not None else None
        self._begin()

    def taken(self) -> Mapping[str, float]:
        """Return the use, and begin anew.

        Returns:
            ``cores``: processor time over wall time, all threads together; ``memory_mib``: of the process, as
            it stands, where psutil is installed; ``gpu_memory_mib``: the most that its tensors took, only on
            one of NVIDIA's GPUs.
        """
        seconds = time.perf_counter() - self._since
        used = {
            CORES: (time.process_time() - self._worked) / seconds if seconds > 0 else 0.0,
        }
        if self._process is not None:
            used[MEMORY] = self._process.memory_info().rss / _MIB
        if self._gpu is not None:
            used[GPU_MEMORY] = torch.cuda.max_memory_allocated(self._gpu) / _MIB
        self._begin()
        return used

    def _begin(self) -> None:
        self._since, self._worked = time.perf_counter(), time.process_time()
        if self._gpu is not None:
            torch.cuda.reset_peak_memory_stats(self._gpu)
