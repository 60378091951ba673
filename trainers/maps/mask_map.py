"""What a map is: values of every pixel that follow from an image's mask alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class MaskMap(ABC):
    """One kind of map. Losses ask for it by name, and get it cut along with image and mask.

    A kind is a class in a file of `trainers.maps.kinds`; nothing else lists it. It is computed of whole
    images, kept with the data store, and cut by the nearest pixel as masks are, turned and magnified alike.

    Attributes:
        place: where it stands in lists.
        name: what losses ask for it by.
        meaning: what it holds, in a sentence.
        version: raised whenever `compute` gives other values; maps of an older version are computed anew.
        dtype: of its values. Whole numbers (int32) are kept as uint8 or int16 while all of them fit.
        outside: the value of pixels outside the image; they are ignored in the mask.
        is_length: values are lengths in pixels of the image: a crop that magnifies has them magnified, and
            as float32.
    """

    place: ClassVar[int]
    name: ClassVar[str]
    meaning: ClassVar[str]
    version: ClassVar[int] = 1
    dtype: ClassVar[type[np.generic]] = np.int32
    outside: ClassVar[float] = 0
    is_length: ClassVar[bool] = False

    def planes(self, classes: int) -> int:
        """Return how many values a pixel has: one a foreground class, or one for all."""
        return classes - 1

    @abstractmethod
    def compute(self, mask: NDArray[np.uint8], classes: int) -> NDArray[Any]:
        """Compute the map of an image.

        Args:
            mask: (H, W) class indices, 255 where ignored.
            classes: how many there are, background included.

        Returns:
            (H, W, planes) of the kind's dtype.
        """
