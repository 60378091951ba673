"""How far a pixel is from the border of a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.maps.mask_map import MaskMap


class SignedDistance(MaskMap):
    """Each foreground class's signed distance, as the boundary loss has it (Kervadec et al., MIDL 2019).

    Outside a class it is the distance to its nearest pixel, inside 1 less than that to the nearest pixel of
    another class, negative: 0 along the inner border. Ignored pixels are of no class, so they bound none. A
    class that an image does not show, or that is all it shows, has no border: 0 everywhere.
    """

    place = 3
    name = "signed_distance"
    meaning = "pixels to the border of each foreground class, negative inside it; 0 where the image has none"
    dtype = np.float16
    is_length = True

    def compute(self, mask: NDArray[np.uint8], classes: int) -> NDArray[np.float16]:
        """See `MaskMap.compute`."""
        found = np.zeros((*mask.shape, self.planes(classes)), np.float16)
        for index in range(1, classes):
            member = mask == index
            other = ~member & (mask != IGNORE_INDEX)
            if member.any() and other.any():
                inside, outside = (distance_transform_edt(~each) for each in (other, member))
                found[..., index - 1] = np.where(member, 1.0 - inside, outside)
        return found
