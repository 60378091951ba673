"""Which object a pixel is nearest to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lossweep.trainers.maps.components import components
from lossweep.trainers.maps.mask_map import MaskMap


class Cells(MaskMap):
    """Voronoi cells of each foreground class's connected components (CC-Metrics, arXiv 2410.18684).

    A component lies in the cell of its own number, which is that of the map ``components``.
    """

    place = 2
    name = "cells"
    meaning = (
        "the number of the nearest component of each foreground class, from 1; 0 where the image has none"
    )

    def compute(self, mask: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
        """See `MaskMap.compute`."""
        found = np.zeros((*mask.shape, self.planes(classes)), np.int32)
        for index in range(1, classes):
            member = mask == index
            if not member.any():
                continue
            numbers = components(member)
            if numbers.max() == 1:
                found[..., index - 1] = 1
                continue
            rows, columns = distance_transform_edt(~member, return_distances=False, return_indices=True)
            found[..., index - 1] = numbers[rows, columns]
        return found
