"""Where a trial's wall time goes: training, data, evaluations, checkpoints, waiting for its driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

TRAINING: Final = "training"
DATA: Final = "data"
EVALUATION: Final = "evaluation"
CHECKPOINT: Final = "checkpoint"
WAITING: Final = "waiting"
OTHER: Final = "other"
PARTS: Final = (TRAINING, DATA, EVALUATION, CHECKPOINT, WAITING, OTHER)
"""Every second belongs to one of these: steps; batches that are not there yet; measuring; copying a state and
waiting until the disk has it; whoever steps the training; all else."""


class WallTime:
    """Seconds by what they went to, since the last `taken`."""

    def __init__(self) -> None:
        self._part = OTHER
        self._since = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count what is done here as this part's, and not as that of what surrounds it."""
        before = self._turn_to(part)
        try:
            yield
        finally:
            self._turn_to(before)

    def taken(self) -> Mapping[str, float]:
        """Return the seconds of each part, and begin anew."""
        self._turn_to(self._part)
        seconds, self._seconds = self._seconds, {}
        return seconds

    def _turn_to(self, part: str) -> str:
        now, before = time.perf_counter(), self._part
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._part, self._since = part, now
        return before
