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


def point_at_precision(precisions: Floats, recalls: Floats, floor: float) -> int | None:
    """Return where a curve's recall is highest with a precision of at least ``floor``; None where none is.

    Args:
        precisions: (points,) at each threshold, the highest first.
        recalls: (points,) never falling.
        floor: the least precision.

    Returns:
        Of equal recalls the highest threshold: it has the highest precision.
    """
    allowed = np.flatnonzero(precisions >= floor)
    return int(allowed[np.argmax(recalls[allowed])]) if len(allowed) else None


def point_at_recall(precisions: Floats, recalls: Floats, floor: float) -> int | None:
    """Return where a curve's precision is highest with a recall of at least ``floor``; None where none is.

    Args:
        precisions: (points,) at each threshold, the highest first.
        recalls: (points,) never falling.
        floor: the least recall.

    Returns:
        Of equal precisions the lowest threshold: it has the highest recall.
    """
    allowed = np.flatnonzero(recalls >= floor)[::-1]
    return int(allowed[np.argmax(precisions[allowed])]) if len(allowed) else None


def recall_at_precision(precisions: Floats, recalls: Floats, floor: float) -> float:
    """Return the highest recall on a curve whose precision is at least ``floor``; 0 where none is."""
    point = point_at_precision(precisions, recalls, floor)
    return 0.0 if point is None else float(recalls[point])


def precision_at_recall(precisions: Floats, recalls: Floats, floor: float) -> float:
    """Return the highest precision on a curve whose recall is at least ``floor``; 0 where none is."""
    point = point_at_recall(precisions, recalls, floor)
    return 0.0 if point is None else float(precisions[point])
