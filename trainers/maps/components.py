"""Connected components of a class: the objects of a mask."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray


def components(member: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the 8-connected components of ``member`` (H, W) from 1; 0 elsewhere."""
    # As bytes: cc3d's path for booleans is twice as slow.
    labels = cc3d.connected_components(np.ascontiguousarray(member).view(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32)
