"""A row of numbers as a row of characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 16, low: float = 0.0, high: float = 1.0) -> str:
    """Return the last ``width`` values as bars between ``low`` and ``high``; what is not finite is a dot."""
    return "".join(
        BARS[min(len(BARS) - 1, int((min(high, max(low, value)) - low) / (high - low) * len(BARS)))]
        if math.isfinite(value)
        else "·"
        for value in values[-width:]
    )
