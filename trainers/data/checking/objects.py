"""How many objects the masks hold and how large they are: connected components of each foreground class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True, slots=True)
class ObjectSizes:
    """The objects of one class in one split.

    Attributes:
        count: of objects (8-connected).
        percentiles: their areas in pixels at 10, 50 and 90 %; empty without objects.
        largest: area of the largest.
    """

    count: int
    percentiles: tuple[float, ...]
    largest: int


def object_areas(mask: NDArray[np.uint8], classes: int) -> list[NDArray[np.int64]]:
    """Return the areas in pixels of each class's objects in a mask; none for the background."""
    foreground = np.where(mask < classes, mask, np.uint8(0))
    if not foreground.any():
        return [np.empty(0, np.int64)] * classes
    labels = cc3d.connected_components(foreground, connectivity=8)  # components of equal, non-zero values
    areas = np.bincount(labels.ravel())[1:]
    classes_of = np.zeros(len(areas) + 1, np.uint8)
    classes_of[labels.ravel()] = foreground.ravel()
    none = np.empty(0, np.int64)
    return [areas[classes_of[1:] == index].astype(np.int64) if index else none for index in range(classes)]


def summarize(areas: Iterable[NDArray[np.int64]]) -> ObjectSizes:
    """Summarize the areas of many masks."""
    joined = np.concatenate([np.empty(0, np.int64), *areas])
    if not len(joined):
        return ObjectSizes(0, (), 0)
    return ObjectSizes(len(joined), tuple(map(float, np.percentile(joined, PERCENTILES))), int(joined.max()))
