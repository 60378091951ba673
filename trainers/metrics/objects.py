"""Objects: connected components of truth and prediction, matched where their IoU is above one half.

Above one half (or a higher level) a component can match one other at most, so no assignment has to be solved
(Kirillov et al., Panoptic Segmentation, CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.sizes import NO_SIZES, SizeCounts, SizeThirds
from lossweep.trainers.plan import MeasureSpec

MAXIMUM_OBJECTS: Final = 10_000
"""Predicted components an image may have; a diverged mask can have ten times as many and is not matched."""

_LARGEST_TABLE: Final = 1 << 18
"""Pairs of components up to which joint areas are counted in a table; above it by sorting."""

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """Matched and unmatched objects, summed over images.

    Attributes:
        counts: matched, only predicted, only in the truth.
        miscount: |predicted - true| objects of each image, summed.
        degenerate: images whose prediction fell into more than `MAXIMUM_OBJECTS` components.
        sizes: matched and true objects by their size; none where no sizes were told apart.
    """

    counts: Counts = field(default_factory=Counts)
    miscount: int = 0
    degenerate: int = 0
    sizes: SizeCounts = NO_SIZES

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(
            self.counts + other.counts,
            self.miscount + other.miscount,
            self.degenerate + other.degenerate,
            self.sizes + other.sizes,
        )

    @property
    def absent(self) -> bool:
        """Neither in the truth nor in the prediction."""
        return self.counts.absent

    @property
    def count_error(self) -> float:
        """The miscount over the number of true objects (over 1 when there are none)."""
        return self.miscount / max(self.counts.tp + self.counts.fn, 1)


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """The labelled truth of one image and one class, to be compared with any number of predictions.

    Attributes:
        labels: (H, W) 0 outside the objects, else the object's number from 1.
        count: objects, small ones included.
        labelled: (H, W) False where the truth is unknown; None when it is known everywhere.
    """

    labels: NDArray[Any]
    count: int
    labelled: Mask | None

    @classmethod
    def of(cls, truth: Mask, labelled: Mask | None, spec: MeasureSpec) -> TrueObjects:
        """Label the components of ``truth`` (H, W), which holds no unlabelled pixel."""
        labels, count = _components(truth, spec.connectivity)
        if not count:  # as most classes on most images: one zero for all pixels
            labels = np.broadcast_to(labels.dtype.type(0), labels.shape)
        return cls(labels, count, labelled)

    def areas(self, spec: MeasureSpec) -> Ints:
        """Return the areas of the objects in pixels, without those that are too small to be one."""
        every = np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:]
        return every[every >= spec.minimum_area]

    @property
    def bytes(self) -> int:
        """Memory that the labels take."""
        return self.labels.nbytes if self.count else 0

    def compare(self, prediction: Mask, spec: MeasureSpec, thirds: SizeThirds | None = None) -> ObjectCounts:
        """Match the components of ``prediction`` (H, W) with the true ones; by ``thirds`` also by their size.

        IoU and areas are of labelled pixels only. A predicted object that matches none and lies for the
        greater part in unlabelled pixels does not count: nobody knows whether it is wrong.
        """
        found, predicted = _components(prediction, spec.connectivity)
        if not self.count and not predicted:
            return ObjectCounts()
        if predicted > MAXIMUM_OBJECTS:
            areas = self.areas(spec)
            kept = len(areas)
            sizes = thirds.counts(areas) if thirds else NO_SIZES
            return ObjectCounts(Counts(0, MAXIMUM_OBJECTS, kept), abs(MAXIMUM_OBJECTS - kept), 1, sizes)

        occupied = (self.labels > 0) | prediction
        known = occupied if self.labelled is None else occupied & self.labelled
        pixels = np.flatnonzero(known)
        of_truth = self.labels.ravel()[pixels].astype(np.int64)
        of_found = found.ravel()[pixels].astype(np.int64)
        true_area = np.bincount(of_truth, minlength=self.count + 1)
        found_area = np.bincount(of_found, minlength=predicted + 1)
        t, p, both = _joint_areas(of_truth, of_found, self.count, predicted)

        large_truth, large_found = true_area >= spec.minimum_area, found_area >= spec.minimum_area
        large_truth[0] = large_found[0] = False
        union = true_area[t] + found_area[p] - both
        matched = large_truth[t] & large_found[p] & (both > spec.object_iou * union)
        if self.labelled is not None:
            whole_area = np.bincount(found.ravel(), minlength=predicted + 1)
            excused = 2 * found_area < whole_area
            excused[p[matched]] = False
            large_found &= ~excused
        tp, true, called = int(matched.sum()), int(large_truth.sum()), int(large_found.sum())
        sizes = thirds.counts(true_area[large_truth], true_area[t[matched]]) if thirds else NO_SIZES
        return ObjectCounts(Counts(tp, called - tp, true - tp), abs(called - true), 0, sizes)


def _components(mask: Mask, connectivity: Literal[4, 8]) -> tuple[NDArray[Any], int]:
    # As bytes: cc3d's path for booleans is twice as slow.
    labels, count = cc3d.connected_components(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=connectivity, return_N=True
    )
    return np.ascontiguousarray(labels), int(count)


def _joint_areas(of_truth: Ints, of_found: Ints, true: int, predicted: int) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of components that share a pixel, and how many they share."""
    width = predicted + 1
    pairs = of_truth * width + of_found
    if (true + 1) * width <= _LARGEST_TABLE:
        table = np.bincount(pairs)
        distinct = np.flatnonzero(table)
        areas = table[distinct]
    else:
        distinct, areas = np.unique(pairs, return_counts=True)
    return distinct // width, distinct % width, areas
