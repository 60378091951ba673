"""The middle lines of what a mask shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.maps.mask_map import MaskMap


class Skeletons(MaskMap):
    """The skeleton of the foreground in a tube, as Skeleton Recall has it (Kirchhoff et al., ECCV 2024).

    The foreground of all classes together is thinned to lines of one pixel (Zhang and Suen, 1984), these are
    thickened twice by their four neighbours, and each pixel of the tube keeps its own class.
    """

    place = 4
    name = "skeletons"
    meaning = "the class of a pixel on or beside the middle line of its shape, 0 elsewhere"
    dtype = np.uint8

    def planes(self, classes: int) -> int:
        """One for all classes: a pixel has one class."""
        return 1

    def compute(self, mask: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
        """See `MaskMap.compute`."""
        foreground = (mask > 0) & (mask != IGNORE_INDEX)
        if not foreground.any():
            return np.zeros((*mask.shape, 1), np.uint8)
        from skimage.morphology import skeletonize

        tube = binary_dilation(skeletonize(foreground), iterations=2) & foreground  # type: ignore[no-untyped-call]  # skimage's
        return np.where(tube, mask, 0).astype(np.uint8)[..., None]
