"""Cuts a whole batch of crops out of flat pixels: place, symmetry, scale, brightness and contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.data.crops.placement import Placements
from lossweep.trainers.data.store.decoded import Store


@dataclass(frozen=True, slots=True)
class _Line:
    """The image pixels along one axis of a crop; arrays (crops, tile).

    A crop is turned by quarters only, so each of its axes runs along one of the image's, and where a pixel
    lies in the flat store is the sum of two lines.

    Attributes:
        nearest: the nearest pixel's share of the position.
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
    def of(cls, start: Tensor, step: Tensor, extent: Tensor, stride: Tensor, tile: int) -> _Line:
        place = start[:, None] + step[:, None] * torch.arange(tile, device=start.device)
        last, stride = (extent - 1)[:, None], stride[:, None]

        def share(pixel: Tensor) -> Tensor:
            return torch.minimum(pixel.clamp(min=0), last) * stride

        nearest, lower = place.round().long(), place.floor().long()
        inside = (nearest >= 0) & (nearest <= last)
        return cls(share(nearest), share(lower), share(lower + 1), (place - lower).float(), inside)


class Cutter:
    """Cuts the crops of one epoch: their parameters are sent to where the pixels lie once."""

    def __init__(
        self,
        store: Store,
        placed: Placements,
        offsets: NDArray[np.int64],
        tile: int,
        pixels: tuple[Tensor, Tensor],
        device: torch.device,
    ) -> None:
        self._tile, self._device = tile, device
        self._pixels, self._masks = pixels
        heights, widths = store.items.heights[placed.images], store.items.widths[placed.images]
        self._exact = bool((placed.zooms == 1.0).all())
        self._inside = self._exact and bool((np.minimum(heights, widths) >= tile).all())
        upright = placed.turns[:, 0, 0] != 0  # the crop's rows run along the image's
        steps = placed.turns.sum(axis=1) / placed.zooms[:, None]  # of a column's two entries, one is 0
        ones = np.ones_like(widths)
        at = self._pixels.device

        def sent(*columns: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.stack(columns, axis=1)).to(at)

        self._real = sent(
            np.where(upright, placed.tops, placed.lefts),
            steps[:, 0],
            np.where(upright, placed.lefts, placed.tops),
            steps[:, 1],
        )
        self._whole = sent(
            offsets,
            np.where(upright, heights, widths),
            np.where(upright, widths, ones),
            np.where(upright, widths, heights),
            np.where(upright, ones, widths),
        )
        gain = placed.contrasts[:, None] / np.array(store.meta.std)
        bias = placed.brightnesses[:, None] - gain * np.array(store.meta.mean)
        self._gain = torch.from_numpy(gain.astype(np.float32)).to(device)
        self._bias = torch.from_numpy(bias.astype(np.float32)).to(device)

    def cut(self, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return images (crops, bands, tile, tile) and masks (crops, tile, tile) of the crops ``chosen``."""
        crops = torch.from_numpy(chosen)
        here, there = crops.to(self._whole.device), crops.to(self._device)
        offset, row_extent, row_stride, column_extent, column_stride = self._whole[here].unbind(1)
        row_start, row_step, column_start, column_step = self._real[here].unbind(1)
        rows = _Line.of(row_start, row_step, row_extent, row_stride, self._tile)
        columns = _Line.of(column_start, column_step, column_extent, column_stride, self._tile)

        def position(row: Tensor, column: Tensor) -> Tensor:
            return (offset[:, None] + row)[:, :, None] + column[:, None, :]

        nearest = position(rows.nearest, columns.nearest)
        masks = self._masks[nearest].to(self._device)
        if self._exact:
            images = as_float(self._pixels[nearest].to(self._device))
        else:  # images bilinear, masks nearest
            right, down = columns.weight[:, None, :, None], rows.weight[:, :, None, None]
            edges = [
                torch.lerp(
                    as_float(self._pixels[position(row, columns.lower)]),
                    as_float(self._pixels[position(row, columns.upper)]),
                    right,
                )
                for row in (rows.lower, rows.upper)
            ]
            images = torch.lerp(edges[0], edges[1], down).to(self._device)
        images = torch.addcmul(self._bias[there][:, None, None], images, self._gain[there][:, None, None])
        if not self._inside:
            outside = ~(rows.inside[:, :, None] & columns.inside[:, None, :]).to(self._device)
            images = images.masked_fill(outside[..., None], 0.0)
            masks = masks.masked_fill(outside, IGNORE_INDEX)
        return images.permute(0, 3, 1, 2), masks


def as_float(pixels: Tensor) -> Tensor:
    """Read stored pixels as float32; int16 ones hold the bits of uint16."""
    if pixels.dtype == torch.int16:
        return (pixels.to(torch.int32) & 0xFFFF).float()
    return pixels.float()
