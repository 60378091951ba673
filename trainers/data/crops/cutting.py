"""Cuts a whole batch of crops out of flat pixels: place, symmetry, scale, brightness and contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.data.crops.placement import Placements
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.maps.known import KNOWN_MAPS


@dataclass(frozen=True, slots=True)
class Flat:
    """Images pixel by pixel, and what lies beside them in the same order.

    Attributes:
        pixels: (pixels, bands) as stored.
        masks: (pixels,) class indices.
        maps: (pixels, planes) by name, what follows from the masks.
    """

    pixels: Tensor
    masks: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        return sum(each.nbytes for each in (self.pixels, self.masks, *self.maps.values()))

    def each(self, change: Callable[[Tensor], Tensor]) -> Flat:
        """Return it with every tensor changed."""
        maps = {name: change(values) for name, values in self.maps.items()}
        return Flat(change(self.pixels), change(self.masks), maps)

    def to(self, device: torch.device, non_blocking: bool = False) -> Flat:
        """Return the same on a device."""
        return self.each(lambda values: values.to(device, non_blocking=non_blocking))


class Crops(NamedTuple):
    """How to cut some crops, on one device; a slice of it is a batch.

    A crop is turned by quarters only, so each of its axes runs along one of the image's, and where a pixel
    lies in the flat store is the sum of a share of its row and one of its column.

    Attributes:
        offset: (crops,) where the image's pixels start in the flat store, int64.
        starts: (crops, 2) the image's coordinate at the first row, at the first column, float64.
        steps: (crops, 2) what the coordinate grows by from row to row, from column to column, float64.
        extents: (crops, 2) pixels of the image along the crop's rows, along its columns, int64.
        strides: (crops, 2) what the flat position grows by from pixel to pixel along them, int64.
        gain: (crops, bands) factor on the stored values, float32.
        bias: (crops, bands) added to them, float32.
    """

    offset: Tensor
    starts: Tensor
    steps: Tensor
    extents: Tensor
    strides: Tensor
    gain: Tensor
    bias: Tensor

    @classmethod
    def of(cls, store: Store, placed: Placements, order: NDArray[np.int64], first: int) -> Crops:
        """Return the crops of an epoch in the order in which they are trained, on the host.

        Args:
            store: the images.
            placed: the crops.
            order: which of them, in turn.
            first: flat position that counts as 0.
        """
        images, turns = placed.images[order], placed.turns[order]
        heights, widths = store.items.heights[images], store.items.widths[images]
        tops, lefts, ones = placed.tops[order], placed.lefts[order], np.ones_like(widths)
        upright = (turns[:, 0, 0] != 0)[:, None]  # the crop's rows run along the image's

        def along(down: NDArray[np.generic], across: NDArray[np.generic]) -> Tensor:
            pair = np.stack([down, across], axis=1)
            return torch.from_numpy(np.where(upright, pair, pair[:, ::-1]))

        gain = placed.contrasts[order, None] / np.array(store.meta.std)
        bias = placed.brightnesses[order, None] - gain * np.array(store.meta.mean)
        return cls(
            torch.from_numpy(store.items.offsets[images] - first),
            along(tops, lefts),
            # Of the two entries of a column of a turn one is 0.
            torch.from_numpy(turns.sum(axis=1) / placed.zooms[order, None]),
            along(heights, widths),
            along(widths, ones),
            torch.from_numpy(gain.astype(np.float32)),
            torch.from_numpy(bias.astype(np.float32)),
        )

    def to(self, device: torch.device, non_blocking: bool = False) -> Crops:
        """Return the same on a device."""
        return Crops(*(each.to(device, non_blocking=non_blocking) for each in self))

    def part(self, crops: slice) -> Crops:
        """Return some of them."""
        return Crops(*(each[crops] for each in self))


@dataclass(frozen=True, slots=True)
class Shape:
    """What all crops of an epoch have in common, so that nothing asks a device for it.

    Attributes:
        tile: side of a crop in pixels.
        exact: no crop is magnified: its pixels are the image's.
        inside: no crop reaches over its image's edge.
    """

    tile: int
    exact: bool
    inside: bool

    @classmethod
    def of(cls, store: Store, placed: Placements, tile: int) -> Shape:
        """Return what holds for all crops of an epoch."""
        exact = bool((placed.zooms == 1.0).all())
        sides = np.minimum(store.items.heights[placed.images], store.items.widths[placed.images])
        return cls(tile, exact, exact and bool((sides >= tile).all()))


@dataclass(frozen=True, slots=True)
class _Line:
    """The image's pixels along one axis of a crop; arrays (crops, tile).

    Attributes:
        nearest: the nearest pixel's share of the flat position.
        lower: that of the pixel before or at the sampled place.
        upper: that of the pixel after it.
        weight: of the upper pixel.
        inside: whether the place is in the image.
    """

    nearest: Tensor
    lower: Tensor
    upper: Tensor
    weight: Tensor
    inside: Tensor

    @classmethod
    def of(cls, crops: Crops, axis: int, tile: int) -> _Line:
        start, step = crops.starts[:, axis, None], crops.steps[:, axis, None]
        last, stride = crops.extents[:, axis, None] - 1, crops.strides[:, axis, None]
        place = start + step * torch.arange(tile, device=start.device)

        def share(pixel: Tensor) -> Tensor:
            return torch.minimum(pixel.clamp(min=0), last) * stride

        nearest, lower = place.round().long(), place.floor().long()
        inside = (nearest >= 0) & (nearest <= last)
        return cls(share(nearest), share(lower), share(lower + 1), (place - lower).float(), inside)


class Cut(NamedTuple):
    """Crops of one size.

    Attributes:
        images: (crops, bands, tile, tile) float32.
        masks: (crops, tile, tile) class indices.
        maps: (crops, planes, tile, tile) by name.
    """

    images: Tensor
    masks: Tensor
    maps: dict[str, Tensor]


def cut(crops: Crops, flat: Flat, shape: Shape) -> Cut:
    """Cut crops; everything is on one device.

    Images are sampled bilinearly, masks and maps by the nearest pixel.

    Args:
        crops: which.
        flat: what they are cut from.
        shape: what they have in common.
    """
    rows, columns = (_Line.of(crops, axis, shape.tile) for axis in (0, 1))

    def position(row: Tensor, column: Tensor) -> Tensor:
        return (crops.offset[:, None] + row)[:, :, None] + column[:, None, :]

    nearest = position(rows.nearest, columns.nearest)
    labels = flat.masks[nearest]
    if shape.exact:
        images = as_float(flat.pixels[nearest])
    else:
        right, down = columns.weight[:, None, :, None], rows.weight[:, :, None, None]
        edges = [
            torch.lerp(
                as_float(flat.pixels[position(row, columns.lower)]),
                as_float(flat.pixels[position(row, columns.upper)]),
                right,
            )
            for row in (rows.lower, rows.upper)
        ]
        images = torch.lerp(edges[0], edges[1], down)
    images = torch.addcmul(crops.bias[:, None, None], images, crops.gain[:, None, None])
    maps = {name: _of_crops(name, values[nearest], crops, shape) for name, values in flat.maps.items()}
    if not shape.inside:
        outside = ~(rows.inside[:, :, None] & columns.inside[:, None, :])
        images = images.masked_fill(outside[..., None], 0.0)
        labels = labels.masked_fill(outside, IGNORE_INDEX)
        maps = {
            name: values.masked_fill(outside[..., None], KNOWN_MAPS[name].outside)
            for name, values in maps.items()
        }
    channels_first = {name: values.permute(0, 3, 1, 2) for name, values in maps.items()}
    return Cut(images.permute(0, 3, 1, 2), labels, channels_first)


def _of_crops(name: str, values: Tensor, crops: Crops, shape: Shape) -> Tensor:
    """A map's values (crops, tile, tile, planes) as the crops show them: lengths grow with the zoom."""
    if not KNOWN_MAPS[name].is_length:
        return values
    lengths = values.float()
    return lengths if shape.exact else lengths / crops.steps[:, 0].abs().float()[:, None, None, None]


def as_float(pixels: Tensor) -> Tensor:
    """Read stored pixels as float32; int16 ones hold the bits of uint16."""
    if pixels.dtype == torch.int16:
        return (pixels.to(torch.int32) & 0xFFFF).float()
    return pixels.float()
