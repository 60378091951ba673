"""Seeds that follow from another seed and a few words alone, whatever ran before or beside."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *purpose: int | str) -> int:
    """Return a seed in [0, 2**63) for one purpose, such as ``("epoch", 7)``, unlike that of any other."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def short_seed(seed: int, *purpose: int | str) -> int:
    """Return the same in [0, 2**31), which NumPy's and Optuna's generators take: the upper bits of it."""
    return derived_seed(seed, *purpose) >> 32


def derived_share(seed: int, *purpose: int | str) -> float:
    """Return a number in [0, 1) that follows from the same."""
    return short_seed(seed, *purpose) / 2**31
