"""How images are cut into crops: by the objects that they show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from lossweep.trainers.data.checking.report import DataReport

_AROUND: Final = 4.0
"""A crop is so many times as wide as most objects: enough to see what is around them."""
_LEAST: Final = 128
_MOST: Final = {False: 256, True: 512}
"""Side of a crop, without a GPU and with one."""
_RARE: Final = 0.02
"""Foreground below this share of the pixels is missing from most crops that are placed anywhere."""
_BIAS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Cutting:
    """Crops.

    Attributes:
        tile: side in pixels.
        covering: crops that cover an image once.
        bias: share of the crops that are placed over foreground.
        why: for a person.
    """

    tile: int
    covering: int
    bias: float
    why: str

    def keys(self, crops: int) -> dict[str, Any]:
        """What stands under ``data:``."""
        keys: dict[str, Any] = {"tile": self.tile}
        if crops < self.covering:
            keys["crops"] = crops
        if self.bias:
            keys["augment"] = {"foreground_bias": self.bias}
        return keys


def cut(report: DataReport, gpu: bool) -> Cutting:
    """Choose crops for what was found."""
    train = report.splits[0]
    sides = sorted(min(size) for size in train.sizes)
    height, width = train.sizes[len(train.sizes) // 2]
    objects = [each for each in train.objects[1:] if each.count]
    extent = max((math.sqrt(each.percentiles[-1]) for each in objects), default=0.0)
    wanted = max(float(_LEAST), _AROUND * extent)
    most = min(float(_MOST[gpu]), max(32.0, float(sides[len(sides) // 2])))
    tile = max(32, int(min(math.ceil(wanted / 32) * 32, most // 32 * 32)))
    foreground = 1.0 - train.fractions[0]
    bias = _BIAS if foreground < _RARE else 0.0
    why = f"most objects are up to {extent:.0f} pixels across" if objects else "there are no objects"
    return Cutting(tile, max(1, round(height * width / tile**2)), bias, f"{why}, images {width} x {height}")
