"""How far a difference depends on which images happen to be in the test split: a hierarchical bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""(images, classes, 3): true positives, false positives and false negatives of each image and class."""
Figures = NDArray[np.float64]

Figure = Callable[[Counts], Figures]
"""Of counts summed over images, (..., classes, 3), along the last two axes."""

DRAWS: Final = 1000
_SEED: Final = 0

FIGURES: Final[dict[str, Figure]] = {}
"""The figures that are functions of summed counts, by the metric's name without its prefix."""


def _figure_of(name: str) -> Callable[[Figure], Figure]:
    def register(figure: Figure) -> Figure:
        FIGURES[name] = figure
        return figure

    return register


def image_interval(
    first: Sequence[Counts],
    second: Sequence[Counts],
    figure: Figure,
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
        figure: see `Figure`.
        sign: 1 where more is better, -1 where less is.
        confidence: of the interval.
        draws: how many.
    """
    generator = np.random.default_rng(_SEED)
    a, b = np.stack(first), np.stack(second)
    seeds, images = a.shape[:2]
    weights = np.empty((draws, images))
    chosen = np.empty((draws, seeds), dtype=np.int64)
    for draw in range(draws):
        weights[draw] = np.bincount(generator.integers(images, size=images), minlength=images)
        chosen[draw] = generator.integers(seeds, size=seeds)
    of_a, of_b = (figure(_summed(arm, weights)) for arm in (a, b))
    differences = np.take_along_axis(sign * (of_a - of_b), chosen, axis=1).mean(axis=1)
    low, high = np.quantile(differences, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _summed(arm: Counts, weights: NDArray[np.float64]) -> Counts:
    """Sum an arm's counts over the images of each draw: (draws, seeds, classes, 3)."""
    seeds, images = arm.shape[:2]
    by_image = arm.swapaxes(0, 1).reshape(images, -1)
    # As floats, which hold whole numbers up to 2**53 exactly: integers have no fast product of matrices.
    summed = weights @ by_image.astype(np.float64)
    return summed.astype(np.int64).reshape(len(weights), seeds, *arm.shape[2:])


@_figure_of("f1")
def mean_f1(counts: Counts) -> Figures:
    """F1 of summed counts (..., classes, 3), as a mean over the classes that occur; 0 where none does."""
    return _mean(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2], counts)


@_figure_of("iou")
def mean_iou(counts: Counts) -> Figures:
    """Intersection over union, likewise."""
    return _mean(counts[..., 0], counts.sum(axis=-1), counts)


@_figure_of("precision")
def mean_precision(counts: Counts) -> Figures:
    """Precision, likewise; 0 for a class that was never predicted."""
    return _mean(counts[..., 0], counts[..., 0] + counts[..., 1], counts)


@_figure_of("recall")
def mean_recall(counts: Counts) -> Figures:
    """Recall, likewise."""
    return _mean(counts[..., 0], counts[..., 0] + counts[..., 2], counts)


def _mean(part: Counts, whole: Counts, counts: Counts) -> Figures:
    occurs = counts.sum(axis=-1) > 0
    ratios = np.where(occurs, part / np.maximum(whole, 1), 0.0)
    mean: Figures = ratios.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return mean
