"""Figures composed from precision and recall: F-beta, and the best of one at a floor of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def f_beta(precision: float, recall: float, beta: float) -> float:
    """Return F-beta = (1 + b^2) P R / (b^2 P + R) (van Rijsbergen, 1979), and 0 where both are 0.

    ``beta`` above 1 favors recall, under 1 precision.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, but got {beta=}")
    # Divided through by b^2, so that neither a tiny nor a huge beta overflows.
    share = 1.0 / (1.0 + beta * beta)
    divisor = (1.0 - share) * precision + share * recall
    return min(precision * recall / divisor, 1.0) if divisor > 0 else 0.0


def recall_at_precision(precisions: Floats, recalls: Floats, floor: float) -> float:
    """Return the highest recall on a curve whose precision is at least ``floor``; 0 where none is."""
    return float(np.max(recalls, where=precisions >= floor, initial=0.0))


def precision_at_recall(precisions: Floats, recalls: Floats, floor: float) -> float:
    """Return the highest precision on a curve whose recall is at least ``floor``; 0 where none is."""
    return float(np.max(precisions, where=recalls >= floor, initial=0.0))


def parametric_name(name: str, value: float) -> str:
    """Return a metric's name with its parameter in decimals: ``recall_at_precision_0.2``, ``fbeta_2``."""
    return f"{name}_{np.format_float_positional(value, trim='-')}"
