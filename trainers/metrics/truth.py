"""The objects of a split's masks, which every evaluation of it compares with: labelled once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.metrics.objects import TrueObjects
from lossweep.trainers.plan import MeasureSpec

MEMORY: Final = 256 * 2**20
"""Bytes of labels kept by default: 2,000 tiles of 256 x 256 in which a class occurs."""


class Truth:
    """The true objects of images that come in the same order each time.

    Once the memory is full, the images that are left are labelled each time. (Which were used last does not
    matter: all of them are used in turn.)

    Args:
        foreground: classes but the background.
        measure: object rules.
        memory: bytes of labels to keep at most; 0 keeps none.
    """

    def __init__(self, foreground: int, measure: MeasureSpec, memory: int = MEMORY) -> None:
        self._foreground, self._measure, self._room = foreground, measure, memory
        self._kept: dict[int, tuple[TrueObjects, ...]] = {}

    def of(self, place: int, mask: NDArray[np.uint8]) -> tuple[TrueObjects, ...]:
        """Return the objects of one image, by foreground class.

        Args:
            place: of the image in the order.
            mask: (H, W) class indices, 255 ignored; the same for the same place.
        """
        found = self._kept.get(place)
        if found is None:
            labelled = mask != IGNORE_INDEX
            known = None if labelled.all() else labelled
            found = tuple(
                TrueObjects.of(mask == c + 1, known, self._measure) for c in range(self._foreground)
            )
            size = sum(each.bytes for each in found) + (0 if known is None else known.nbytes)
            if size <= self._room:
                self._room -= size
                self._kept[place] = found
        return found
