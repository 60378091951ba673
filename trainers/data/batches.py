"""Batches cut on the device: crops, symmetries, scale and brightness as operations on whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spaces.class_prior import IGNORE_INDEX
from trainers.data.placement import Placements, crops_of, place
from trainers.data.spec import Augmentation, SplitName
from trainers.data.store import Store

STRIDE = 32
"""Evaluated images are padded to a multiple of this: the coarsest stride of common encoders."""

_RESIDENT_SHARE = 0.3
"""Of the GPU memory free when data is first asked for: what the resident pixels may take at most."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and masks on one device.

    Attributes:
        images: (images, bands, height, width) float32, zero mean and unit variance over training, channels
            last in memory; 0 where padded.
        masks: (images, height, width) uint8 class indices, 255 where ignored or padded.
        indices: the images' positions in their split.
    """

    images: Tensor
    masks: Tensor
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)


class Split:
    """One split: its images, and how batches are cut from them.

    Attributes:
        name: train, val or test.
        sizes: (height, width) of the images, in order.
    """

    def __init__(
        self, store: Store, name: SplitName, tile: int, augment: Augmentation, crops: int | None
    ) -> None:
        self.name = name
        self._store, self._tile, self._augment = store, tile, augment
        self._rows = store.items.rows(name)
        self._crops = crops_of(store.items, self._rows, tile, crops)
        self._offsets = store.items.offsets
        self._resident: dict[torch.device, tuple[Tensor, Tensor]] = {}
        items, lengths = store.items, store.items.areas[self._rows]
        self.sizes = tuple(
            zip(items.heights[self._rows].tolist(), items.widths[self._rows].tolist(), strict=True)
        )
        self._first = int(self._offsets[self._rows[0]]) if len(self._rows) else 0
        self._extent = slice(self._first, self._first + int(lengths.sum()))

    def __len__(self) -> int:
        """Images."""
        return len(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images, in order."""
        return tuple(map(str, self._store.items.names[self._rows]))

    @property
    def crops(self) -> int:
        """Crops in an epoch."""
        return len(self._crops)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches in an epoch, at least one; the crops left over differ from epoch to epoch."""
        return max(1, self.crops // batch_size)

    def training_batches(
        self, seed: int, epoch: int, batch_size: int, device: torch.device | str
    ) -> Iterator[Batch]:
        """Yield the augmented crops of an epoch, in `steps_per_epoch` batches of ``batch_size``.

        A crop and its place in the order follow from (seed, epoch, index): neither the batch size nor
        anything trained before matters. With fewer crops than ``batch_size``, crops are repeated.
        """
        device = torch.device(device)
        pixels, masks = self._pixels(device)
        placed = place(self._store.items, self._rows, self._crops, self._tile, self._augment, seed, epoch)
        cutter = _Cutter(self, placed, pixels, masks, device)
        for step in range(self.steps_per_epoch(batch_size)):
            chosen = placed.order[np.arange(step * batch_size, (step + 1) * batch_size) % self.crops]
            yield cutter.cut(chosen, tuple(map(int, self._crops[chosen])))

    def evaluation_batches(self, batch_size: int, device: torch.device | str) -> Iterator[Batch]:
        """Yield every whole image once, padded right and below to a multiple of 32 with ignored pixels.

        Images of equal padded size share batches; within one size they keep their order.
        """
        device = torch.device(device)
        pixels, masks = self._pixels(device)
        gain, bias = (t.to(device) for t in self._normalization())
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, (height, width) in enumerate(self.sizes):
            by_size.setdefault((-height % STRIDE + height, -width % STRIDE + width), []).append(index)
        for padded, indices in by_size.items():
            for first in range(0, len(indices), batch_size):
                few = indices[first : first + batch_size]
                yield self._whole(few, padded, pixels, masks, gain, bias, device)

    def _whole(
        self,
        indices: Sequence[int],
        padded: tuple[int, int],
        pixels: Tensor,
        masks: Tensor,
        gain: Tensor,
        bias: Tensor,
        device: torch.device,
    ) -> Batch:
        images = torch.zeros(len(indices), *padded, self._store.meta.bands, device=device)
        labels = torch.full((len(indices), *padded), IGNORE_INDEX, dtype=torch.uint8, device=device)
        for place_, index in enumerate(indices):
            height, width = self.sizes[index]
            start = int(self._offsets[self._rows[index]]) - self._first
            part = slice(start, start + height * width)
            image = _as_float(pixels[part].to(device)).view(height, width, -1)
            images[place_, :height, :width] = image * gain + bias
            labels[place_, :height, :width] = masks[part].to(device).view(height, width)
        return Batch(images.permute(0, 3, 1, 2), labels, tuple(indices))

    def _normalization(self) -> tuple[Tensor, Tensor]:
        mean, std = torch.tensor(self._store.meta.mean), torch.tensor(self._store.meta.std)
        return 1.0 / std, -mean / std

    def _pixels(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The split's pixels (pixels, bands) and masks, on the device when they fit, else on the host."""
        if device not in self._resident:
            images = self._store.images[self._extent]
            # torch indexes int16 everywhere but uint16 not: the same bits, read back by `_as_float`.
            pixels = torch.from_numpy(images.view(np.int16) if images.dtype == np.uint16 else images)
            masks = torch.from_numpy(self._store.masks[self._extent])
            if device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(device)
                if pixels.nbytes + masks.nbytes <= _RESIDENT_SHARE * free:
                    pixels, masks = pixels.to(device), masks.to(device)
            self._resident[device] = (pixels, masks)
        return self._resident[device]


def _as_float(pixels: Tensor) -> Tensor:
    if pixels.dtype == torch.int16:
        return (pixels.to(torch.int32) & 0xFFFF).float()
    return pixels.float()


class _Cutter:
    """Cuts the crops of one epoch: their parameters are sent to where the pixels lie once."""

    def __init__(
        self, split: Split, placed: Placements, pixels: Tensor, masks: Tensor, device: torch.device
    ) -> None:
        items, store = split._store.items, split._store
        self._tile, self._pixels, self._masks, self._device = split._tile, pixels, masks, device
        heights, widths = items.heights[placed.images], items.widths[placed.images]
        self._exact = bool((placed.zooms == 1.0).all())
        self._inside = self._exact and bool((np.minimum(heights, widths) >= split._tile).all())
        step = placed.turns / placed.zooms[:, None, None]
        whole = np.stack([split._offsets[placed.images] - split._first, heights, widths], axis=1)
        real = np.concatenate([placed.tops[:, None], placed.lefts[:, None], step.reshape(-1, 4)], axis=1)
        gain = placed.contrasts[:, None] / np.array(store.meta.std)
        bias = placed.brightnesses[:, None] - gain * np.array(store.meta.mean)
        at = pixels.device
        self._whole = torch.from_numpy(whole).to(at)
        self._real = torch.from_numpy(real).to(at)
        self._gain = torch.from_numpy(gain.astype(np.float32)).to(device)
        self._bias = torch.from_numpy(bias.astype(np.float32)).to(device)

    def cut(self, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], indices: tuple[int, ...]) -> Batch:
        """Return the crops ``chosen`` as a batch."""
        crops = torch.from_numpy(chosen)
        here = crops.to(self._whole.device)
        whole, real = self._whole[here], self._real[here]
        images, masks, inside = self._exactly(whole, real) if self._exact else self._scaled(whole, real)
        images, masks = images.to(self._device), masks.to(self._device)
        there = crops.to(self._device)
        images = torch.addcmul(self._bias[there][:, None, None], images, self._gain[there][:, None, None])
        if inside is not None:
            outside = ~inside.to(self._device)
            images = images.masked_fill(outside[..., None], 0.0)
            masks = masks.masked_fill(outside, IGNORE_INDEX)
        return Batch(images.permute(0, 3, 1, 2), masks, indices)

    def _grid(self) -> tuple[Tensor, Tensor]:
        along = torch.arange(self._tile, device=self._whole.device)
        return along[None, :, None], along[None, None, :]

    def _exactly(self, whole: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Crops without scale: each pixel is one of the image's, its position linear in the crop's."""
        i, j = self._grid()
        offset, height, width = (column[:, None, None] for column in whole.unbind(1))
        top, left, ri, rj, ci, cj = (column[:, None, None] for column in real.round().long().unbind(1))
        if self._inside:
            position = (offset + top * width + left + (ri * width + ci) * i) + (rj * width + cj) * j
            return _as_float(self._pixels[position]), self._masks[position], None
        row, column = top + ri * i + rj * j, left + ci * i + cj * j
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        position = offset + torch.where(inside, row * width + column, 0)
        return _as_float(self._pixels[position]), self._masks[position], inside

    def _scaled(self, whole: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Magnified crops: images bilinear, masks nearest."""
        i, j = self._grid()
        offset, height, width = (column[:, None, None] for column in whole.unbind(1))
        top, left, ri, rj, ci, cj = (column[:, None, None] for column in real.unbind(1))
        row, column = top + ri * i + rj * j, left + ci * i + cj * j
        nearest_row, nearest_column = row.round().long(), column.round().long()
        inside = (
            (nearest_row >= 0) & (nearest_row < height) & (nearest_column >= 0) & (nearest_column < width)
        )
        masks = self._masks[offset + torch.where(inside, nearest_row * width + nearest_column, 0)]
        first_row, first_column = row.floor(), column.floor()
        down, right = (row - first_row).float()[..., None], (column - first_column).float()[..., None]

        def at(rows: Tensor, columns: Tensor) -> Tensor:
            rows = torch.minimum(rows.long().clamp(min=0), height - 1)
            columns = torch.minimum(columns.long().clamp(min=0), width - 1)
            return _as_float(self._pixels[offset + rows * width + columns])

        upper = torch.lerp(at(first_row, first_column), at(first_row, first_column + 1), right)
        lower = torch.lerp(at(first_row + 1, first_column), at(first_row + 1, first_column + 1), right)
        return torch.lerp(upper, lower, down), masks, inside
