"""Which object a pixel belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.maps.components import components
from lossweep.trainers.maps.mask_map import MaskMap


class Components(MaskMap):
    """Each foreground pixel's connected component within its class, numbered from 1 in each class."""

    place = 1
    name = "components"
    meaning = "the 8-connected component of its class that a pixel belongs to, from 1; 0 in the background"

    def planes(self, classes: int) -> int:
        """One for all classes: a pixel has one class."""
        return 1

    def compute(self, mask: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
        """See `MaskMap.compute`."""
        found = np.zeros(mask.shape, np.int32)
        for index in range(1, classes):
            member = mask == index
            if member.any():
                found += components(member)
        return found[..., None]
