"""Small, middle and large objects of a class: thirds by area of its objects in the training masks.

Decided by the training masks alone, once a data set: so the same objects are small in every trial, on
validation and on test, neither of which has a say in it; and training has the most objects to divide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.metrics import SIZES

Ints = NDArray[np.int64]
OfSizes = tuple[int, int, int]
"""A number for each of `spaces.metrics.SIZES`."""


@dataclass(frozen=True, slots=True)
class SizeCounts:
    """Objects of the truth by their size, summed over images.

    Attributes:
        true: how many there are.
        found: how many of them a prediction matched.
    """

    true: OfSizes = (0, 0, 0)
    found: OfSizes = (0, 0, 0)

    def __add__(self, other: SizeCounts) -> SizeCounts:
        return SizeCounts(_sum(self.true, other.true), _sum(self.found, other.found))

    def recall(self, size: str) -> float | None:
        """Return found / true of one size; None where the truth has no such object: nothing can be said."""
        index = SIZES.index(size)
        return self.found[index] / self.true[index] if self.true[index] else None


NO_SIZES: Final = SizeCounts()


@dataclass(frozen=True, slots=True)
class SizeThirds:
    """Where the small objects of a class end and the large ones begin.

    Attributes:
        small: the largest area of a small object, in pixels.
        middle: the largest area of a middle one.
    """

    small: int
    middle: int

    @classmethod
    def over(cls, areas: Iterable[Ints]) -> SizeThirds | None:
        """Divide objects of these areas; None when there are none.

        The bounds are areas that occur (the inverted distribution function), and what is as large as one goes
        below it. So thirds are as even as equal areas let them be: of objects all of one size, all are small.
        """
        joined = np.concatenate([np.empty(0, np.int64), *areas])
        if not len(joined):
            return None
        small, middle = np.quantile(joined, [1 / 3, 2 / 3], method="inverted_cdf")
        return cls(int(small), int(middle))

    def counts(self, true: Ints, found: Ints | None = None) -> SizeCounts:
        """Count objects by their size.

        Args:
            true: areas of all objects of an image's truth.
            found: areas of those that were matched; None where none was.
        """
        return SizeCounts(self._counted(true), self._counted(found) if found is not None else (0, 0, 0))

    def _counted(self, areas: Ints) -> OfSizes:
        thirds = np.searchsorted([self.small, self.middle], areas, side="left")
        small, middle, large = np.bincount(thirds, minlength=3).tolist()
        return small, middle, large


def _sum(one: OfSizes, other: OfSizes) -> OfSizes:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
