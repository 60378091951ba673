"""Seeds that follow from the sweep's seed and a few words alone, whatever ran before or beside."""

from __future__ import annotations

import hashlib


def derive(seed: int, *parts: int | str) -> int:
    """Return a seed in [0, 2**31) from the sweep's seed and what it is for, such as ``("trial", 7)``."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def share(seed: int, *parts: int | str) -> float:
    """Return a number in [0, 1) that follows from the same."""
    return derive(seed, *parts) / 2**31
