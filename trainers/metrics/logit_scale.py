"""The scale logits are counted on: the 63,487 finite half-precision numbers, one bin each.

They are a monotone, non-linear grid that is already in the hardware: steps of 6e-8 around 0, 0.004 at a logit
of 5, 0.06 at 100, up to 65,504, so that neither the tiny differences of an untrained model nor the saturated
logits of a region loss fall into one bin. 0 is on the grid, so that the figures at probability 0.5 are exact
but for logits that half precision itself rounds to 0 (under 3e-8). A bin's index is its number's rank
("key"), as a 16-bit integer: keys compare like the logits, and are what is kept of an image for its objects.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LARGEST: Final = 65504.0
"""The largest finite half-precision number; logits beyond it, and infinite ones, are counted as it."""

LOWEST_KEY: Final = -31744
BINS: Final = 63488

_grid = np.arange(LOWEST_KEY, LOWEST_KEY + BINS, dtype=np.int32)
LOGITS: Final[NDArray[np.float64]] = (
    np.where(_grid < 0, _grid ^ 0x7FFF, _grid).astype(np.uint16).view(np.float16).astype(np.float64)
)
"""The logit of each bin, ascending. -0 has a bin of its own that stays empty."""


def keys(logits: Tensor) -> Tensor:
    """Return the ranks of logits on the half-precision scale.

    Args:
        logits: any shape, any floating type. NaN counts as the lowest logit: never foreground.

    Returns:
        int16 of the same shape, in [`LOWEST_KEY`, `LOWEST_KEY` + `BINS`).
    """
    finite = torch.nan_to_num(logits.float(), nan=-LARGEST).clamp(-LARGEST, LARGEST)
    bits = (finite.half() + 0.0).view(torch.int16)  # + 0.0 makes -0 a plain 0
    return bits ^ ((bits >> 15) & 0x7FFF)  # sign-magnitude to two's complement


def bin_of(threshold: float) -> int:
    """Return the lowest bin whose logits are at or above ``threshold`` (`BINS` when none is)."""
    return int(np.searchsorted(LOGITS, threshold + 0.0, side="left")) if threshold else -LOWEST_KEY
