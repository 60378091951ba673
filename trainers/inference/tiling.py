"""How an image of any size is cut into overlapping tiles, and how much each counts where they overlap.

Along an axis a tile counts fully but where it overlaps its neighbours. Of an overlap the outer quarter counts
nothing: what a model predicts there misses what lies outside of the tile. Across the half in between the
weight rises as ``sin^2`` and the neighbour's falls as ``cos^2``, so that they sum to 1 and no seam shows. A
model that looks no further than that quarter predicts in tiles what it would of the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.data.crops.whole_images import STRIDE, padded_size
from lossweep.trainers.loop.passes import PassSize

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axis:
    """The tiles along one axis.

    Attributes:
        extent: pixels, padded to whole strides.
        side: of a tile.
        starts: of the tiles, ascending; each on the encoder's coarsest grid.
        weights: (side,) of each tile; of all tiles together 1 at every pixel.
    """

    extent: int
    side: int
    starts: tuple[int, ...]
    weights: tuple[Weights, ...]

    @classmethod
    def of(cls, extent: int, side: int, overlap: int) -> Axis:
        """Cut an axis evenly into as few tiles as overlap by at least ``overlap``; all in whole strides."""
        if extent <= side:
            return cls(extent, extent, (0,), (np.ones(extent, np.float32),))
        cells, across, shared = extent // STRIDE, side // STRIDE, overlap // STRIDE
        parts = -(-(cells - shared) // (across - shared))
        starts = tuple(part * (cells - across) // (parts - 1) * STRIDE for part in range(parts))
        raw = [_raw(index, starts, side) for index in range(parts)]
        total = np.zeros(extent)
        for start, weight in zip(starts, raw, strict=True):
            total[start : start + side] += weight
        found = (
            (weight / total[start : start + side]).astype(np.float32)
            for start, weight in zip(starts, raw, strict=True)
        )
        return cls(extent, side, starts, tuple(found))

    def final(self, index: int) -> slice:
        """The pixels that are settled once the tile of this index was added, and not before."""
        last = index + 1 == len(self.starts)
        return slice(self.starts[index], self.extent if last else self.starts[index + 1])

    def reaching(self, index: int) -> range:
        """The tiles before the one of this index that share pixels with it."""
        nearest = (i for i in range(index) if self.starts[i] + self.side > self.starts[index])
        return range(next(nearest, index), index)


def _raw(index: int, starts: tuple[int, ...], side: int) -> NDArray[np.float64]:
    weight = np.ones(side)
    if index:
        weight *= _rising(side, starts[index - 1] + side - starts[index])
    if index + 1 < len(starts):
        weight *= _rising(side, starts[index] + side - starts[index + 1])[::-1]
    return weight


def _rising(side: int, overlap: int) -> NDArray[np.float64]:
    """From 0 in the outer quarter of an overlap to 1 in its inner one."""
    along = (np.arange(side) + 0.5 - overlap / 4) / (overlap / 2)
    return np.asarray(np.sin(np.clip(along, 0.0, 1.0) * math.pi / 2) ** 2)


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of an image, row by row.

    Attributes:
        rows: down the image.
        columns: across it.
    """

    rows: Axis
    columns: Axis

    @classmethod
    def of(
        cls, shape: tuple[int, int], size: PassSize, tile: int | None = None, overlap: int | None = None
    ) -> Tiling:
        """Cut an image of this height and width.

        What fits one pass of the trainer's evaluations is seen whole, unless a side is given.

        Args:
            shape: height and width in pixels.
            size: of a pass.
            tile: side in pixels, in whole strides; by default as many as one pass takes.
            overlap: of neighbours, likewise; by default a quarter of the side.
        """
        height, width = padded_size(*shape)
        if tile is None and height * width <= size.pixels:
            return cls(Axis.of(height, height, 0), Axis.of(width, width, 0))
        side = tile or max(math.isqrt(size.pixels) // STRIDE * STRIDE, 4 * STRIDE)
        shared = overlap if overlap is not None else max(STRIDE, side // 4 // STRIDE * STRIDE)
        return cls(Axis.of(height, side, shared), Axis.of(width, side, shared))
