"""How far a difference depends on which images happen to be in the test split: a hierarchical bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""(images, classes, 3): true positives, false positives and false negatives of each image and class."""

DRAWS: Final = 1000
_SEED: Final = 0


def image_interval(
    first: Sequence[Counts],
    second: Sequence[Counts],
    figure: Callable[[Counts], float],
    sign: float = 1.0,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Return where the mean difference lies when test images and seeds are drawn anew.

    In each draw, images are drawn with replacement, the same for both arms and all seeds, and so are the
    seeds, the same for both arms; the figure is taken of the summed counts, as it is of the whole split.
    The interval is that of percentiles (Efron, 1979), narrow for few seeds; with as many images as a test
    split has, what it adds is the images' part.

    Args:
        first: counts of one arm, one array a seed.
        second: counts of the other arm, in the same order of seeds.
        figure: of counts summed over images, (classes, 3).
        sign: 1 where more is better, -1 where less is.
        confidence: of the interval.
        draws: how many.
    """
    generator = np.random.default_rng(_SEED)
    a, b = np.stack(first), np.stack(second)
    seeds, images = a.shape[:2]
    differences = np.empty(draws)
    for draw in range(draws):
        weights = np.bincount(generator.integers(images, size=images), minlength=images)
        chosen = generator.integers(seeds, size=seeds)
        sums_a, sums_b = (np.tensordot(arm, weights, axes=([1], [0])) for arm in (a[chosen], b[chosen]))
        pairs = zip(sums_a, sums_b, strict=True)
        differences[draw] = np.mean([sign * (figure(one) - figure(other)) for one, other in pairs])
    low, high = np.quantile(differences, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def mean_f1(counts: Counts) -> float:
    """F1 of summed counts (classes, 3), as a mean over the classes that occur; 0 where none does."""
    return _mean(2 * counts[:, 0], 2 * counts[:, 0] + counts[:, 1] + counts[:, 2], counts)


def mean_iou(counts: Counts) -> float:
    """Intersection over union, likewise."""
    return _mean(counts[:, 0], counts.sum(axis=1), counts)


def mean_precision(counts: Counts) -> float:
    """Precision, likewise; 0 for a class that was never predicted."""
    return _mean(counts[:, 0], counts[:, 0] + counts[:, 1], counts)


def mean_recall(counts: Counts) -> float:
    """Recall, likewise."""
    return _mean(counts[:, 0], counts[:, 0] + counts[:, 2], counts)


def _mean(part: Counts, whole: Counts, counts: Counts) -> float:
    occurs = counts.sum(axis=1) > 0
    ratios = part[occurs] / np.maximum(whole[occurs], 1)
    return float(ratios.mean()) if occurs.any() else 0.0
