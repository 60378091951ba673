"""Pixels that don't fit on the device: only what a batch shows is sent, while the batch before it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from lossweep.trainers.data.crops.cutting import Crops, Flat, Shape


@dataclass(frozen=True, slots=True)
class Staged:
    """The windows of the images that a batch shows, packed, and its crops counted in them.

    Attributes:
        crops: their offsets and strides count in the packed pixels.
        flat: the packed pixels.
    """

    crops: Crops
    flat: Flat

    def to(self, device: torch.device) -> Staged:
        """Return the same on a device, sent without waiting when the memory is pinned."""
        return Staged(self.crops.to(device, non_blocking=True), self.flat.to(device, non_blocking=True))


def stage(crops: Crops, flat: Flat, shape: Shape, *, pin: bool) -> Staged:
    """Pack what some crops show: whole rows of windows are copied, so that it takes little of a CPU.

    Cutting from the packed pixels gives the same crops bit for bit.

    Args:
        crops: on the host.
        flat: all images, in memory or mapped.
        shape: what the crops have in common.
        pin: into page-locked memory, from which a GPU copies by itself.
    """
    ends = crops.starts + crops.steps * (shape.tile - 1)
    last = crops.extents - 1
    # Pixels from the one before the least place to the one after the greatest, as far as there are any.
    low = torch.minimum(torch.minimum(crops.starts, ends).floor().long().clamp(min=0), last)
    high = torch.minimum((torch.maximum(crops.starts, ends).floor().long() + 1).clamp(min=0), last)
    upright = crops.strides[:, 1] == 1
    # An image one pixel wide has strides of 1 both ways: either reading of it is right.
    low_rows, low_columns = _image_axes(low, upright)
    high_rows, high_columns = _image_axes(high, upright)
    widths = _image_axes(crops.strides, upright)[0]
    rows, columns = high_rows - low_rows + 1, high_columns - low_columns + 1
    areas = rows * columns
    begins = areas.cumsum(0) - areas
    windows = list(
        zip(
            (crops.offset + low_rows * widths + low_columns).tolist(),
            widths.tolist(),
            rows.tolist(),
            columns.tolist(),
            begins.tolist(),
            strict=True,
        )
    )
    total = int(areas.sum())

    def packed(source: Tensor) -> Tensor:
        bands = source.shape[1:]
        target = torch.empty((total, *bands), dtype=source.dtype, pin_memory=pin)
        for first, width, height, breadth, begin in windows:
            steps = (width * source.stride(0), *source.stride())
            window = source.as_strided((height, breadth, *bands), steps, first * source.stride(0))
            target[begin : begin + height * breadth].view(height, breadth, *bands).copy_(window)
        return target

    strides = torch.where(upright[:, None], _pair(columns, 1), _pair(columns, 1).flip(1))
    counted = crops._replace(offset=begins - low_rows * columns - low_columns, strides=strides)
    return Staged(Crops(*(each.pin_memory() if pin else each for each in counted)), flat.each(packed))


def staged_ahead(
    crops: Crops, flat: Flat, shape: Shape, batches: Sequence[slice], device: torch.device
) -> Iterator[Staged]:
    """Yield batches on the device; a thread packs the next one meanwhile."""
    pin = device.type == "cuda"

    def packed(batch: slice) -> Staged:
        return stage(crops.part(batch), flat, shape, pin=pin)

    with ThreadPoolExecutor(1, "staging") as thread:
        ahead = thread.submit(packed, batches[0])
        for following in batches[1:]:
            current, ahead = ahead.result(), thread.submit(packed, following)
            yield current.to(device)
        yield ahead.result().to(device)


def _image_axes(pairs: Tensor, upright: Tensor) -> tuple[Tensor, Tensor]:
    """Values along a crop's rows and columns (crops, 2) as those along its image's rows and columns."""
    axes = torch.where(upright[:, None], pairs, pairs.flip(1))
    return axes[:, 0], axes[:, 1]


def _pair(first: Tensor, second: int) -> Tensor:
    return torch.stack([first, torch.full_like(first, second)], 1)
