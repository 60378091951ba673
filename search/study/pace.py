"""How long evaluations usually take, and so from when on one that does not come is worth a word."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

TIMES: Final = 10.0
"""So many times the usual evaluation may take before something is said."""

LEAST_S: Final = 30.0
"""No silence is worth a word sooner than this."""

UNKNOWN_S: Final = 120.0
"""As long as no evaluation of the sweep is known: models are built and compiled before the first."""

_RECENT = 64


class Pace:
    """The seconds that a sweep's newest evaluations took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_RECENT)

    def take(self, seconds: float) -> None:
        """Take what one evaluation took, its training included."""
        if math.isfinite(seconds) and seconds > 0.0:
            self._seconds.append(seconds)

    @property
    def usual(self) -> float | None:
        """Seconds that nine evaluations of ten took at most; None before the first.

        The median would not do: where ``evaluate_every`` is large, every second one may be a phase's last
        and short.
        """
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        return ordered[math.ceil(0.9 * len(ordered)) - 1]

    @property
    def patience(self) -> float:
        """Seconds of silence from which on something is worth saying."""
        usual = self.usual
        return UNKNOWN_S if usual is None else max(LEAST_S, TIMES * usual)
