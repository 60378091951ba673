"""Batches cut on the device: crops, symmetries, scale and brightness as operations on whole batches."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.data.crops.cutting import Crops, Flat, Shape, cut
from lossweep.trainers.data.crops.normalization import Normalization, as_tensor, normalized, shared
from lossweep.trainers.data.crops.placement import Placements, crops_of, place
from lossweep.trainers.data.crops.staging import Staged, staged_ahead
from lossweep.trainers.data.crops.whole_images import stacked, whole_batches
from lossweep.trainers.data.sources.source import Progress, silent
from lossweep.trainers.data.spec import Augmentation, SplitName
from lossweep.trainers.data.store.decoded import Store
from lossweep.trainers.data.store.mask_maps import kept_map
from lossweep.trainers.gpu import room
from lossweep.trainers.maps.known import KNOWN_MAPS

_OVER_FOREGROUND = Augmentation(
    flip=False, quarter_turns=False, brightness=0.0, contrast=0.0, foreground_bias=1.0
)
"""Of the rehearsal batch: crops as the images are, over foreground."""

_RESIDENT_SHARE = 0.3
"""Of a GPU's room when data is first asked for: what the resident pixels may take at most."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and masks on one device.

    Attributes:
        images: (images, bands, height, width) float32, zero mean and unit variance over training, channels
            last in memory; 0 where padded.
        masks: (images, height, width) uint8 class indices, 255 where ignored or padded.
        indices: the images' positions in their split.
        maps: (images, planes, height, width) by name: what follows from the masks (`trainers.maps`), as far
            as it was asked for.
    """

    images: Tensor
    masks: Tensor
    indices: tuple[int, ...]
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)


class Split:
    """One split: its images, and how batches are cut from them.

    Attributes:
        name: train, val or test.
        tile: side of a crop, in pixels.
        sizes: (height, width) of the images, in order.
    """

    def __init__(
        self, store: Store, name: SplitName, tile: int, augment: Augmentation, crops: int | None
    ) -> None:
        self.name = name
        self.tile = tile
        self._store, self._augment = store, augment
        self._rows = store.items.rows(name)
        self._crops = crops_of(store.items, self._rows, tile, crops)
        self._offsets = store.items.offsets
        self._maps: dict[str, NDArray[Any]] = {}
        self._resident: dict[torch.device, Flat] = {}
        self._most: dict[torch.device, float] = {}
        items = store.items
        self.sizes = tuple(
            zip(items.heights[self._rows].tolist(), items.widths[self._rows].tolist(), strict=True)
        )
        self._normalization = Normalization.of(store.meta)
        self._first = int(self._offsets[self._rows[0]]) if len(self._rows) else 0
        self._extent = slice(self._first, self._first + store.pixels_of(name))

    def __len__(self) -> int:
        """Images."""
        return len(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images, in order."""
        return tuple(map(str, self._store.items.names[self._rows]))

    @property
    def fingerprint(self) -> str:
        """``sha256:...`` of the decoded data, all splits together."""
        return self._store.meta.fingerprint

    def masks_of(self, name: SplitName) -> Iterator[NDArray[np.uint8]]:
        """Yield the masks (height, width) of a split of the same data, in order."""
        return self._store.masks_of(name)

    @property
    def crops(self) -> int:
        """Crops in an epoch."""
        return len(self._crops)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches in an epoch, at least one; the crops left over differ from epoch to epoch."""
        return max(1, self.crops // batch_size)

    def prepare(self, maps: Collection[str], progress: Progress = silent) -> None:
        """Open maps that batches will be asked for, computing those that no process has yet.

        Args:
            maps: names of `trainers.maps`.
            progress: told of every image.

        Raises:
            UserError: they can't be written.
        """
        for name in KNOWN_MAPS:  # in their order, whatever that of the asking
            if name in maps and name not in self._maps:
                self._maps[name] = kept_map(self._store, self.name, KNOWN_MAPS[name], progress)

    def training_batches(
        self,
        seed: int,
        epoch: int,
        batch_size: int,
        device: torch.device | str,
        maps: Collection[str] = (),
    ) -> Iterator[Batch]:
        """Yield the augmented crops of an epoch, in `steps_per_epoch` batches of ``batch_size``.

        A crop and its place in the order follow from (seed, epoch, index): neither the batch size nor
        anything trained before matters. With fewer crops than ``batch_size``, crops are repeated.

        Args:
            seed: of the trial.
            epoch: from 0.
            batch_size: crops of a batch.
            device: where they are put.
            maps: names of those that the batches carry.
        """
        placed = place(self._store.items, self._rows, self._crops, self.tile, self._augment, seed, epoch)
        steps = self.steps_per_epoch(batch_size)
        order = placed.order[np.arange(steps * batch_size) % self.crops]
        yield from self._cut(placed, self._crops, order, batch_size, torch.device(device), maps)

    def rehearsal_batch(
        self, batch_size: int, device: torch.device | str, maps: Collection[str] = ()
    ) -> Batch:
        """Return crops that show foreground, the same ones whatever the trial, none augmented.

        They are of images spread evenly over the split, each placed over an anchor. An image without
        foreground is taken only where none has any; with fewer images than ``batch_size`` crops are repeated.
        """
        items = self._store.items
        showing = np.flatnonzero(items.anchor_counts[self._rows[self._crops]].sum(axis=1) > 0)
        among = self._crops[showing] if len(showing) else self._crops
        few = among[np.linspace(0, len(among) - 1, min(batch_size, len(among))).round().astype(np.int64)]
        placed = place(items, self._rows, few, self.tile, _OVER_FOREGROUND, seed=0, epoch=0)
        order = np.arange(batch_size) % len(few)
        return next(self._cut(placed, few, order, batch_size, torch.device(device), maps))

    def _cut(
        self,
        placed: Placements,
        images: NDArray[np.int64],
        order: NDArray[np.int64],
        batch_size: int,
        device: torch.device,
        maps: Collection[str],
    ) -> Iterator[Batch]:
        """Yield placed crops in an order, in batches.

        Args:
            placed: the crops.
            images: the position in the split of the image that each is cut from.
            order: indices into both, whole batches of them.
            batch_size: crops of a batch.
            device: where they are put.
            maps: names of those that the batches carry.
        """
        self.prepare(maps)
        where = cutting_device(device)
        whole = self._flat(where)
        flat = Flat(whole.pixels, whole.masks, {name: whole.maps[name] for name in maps})
        crops = Crops.of(self._store, placed, order, self._first)
        shape = Shape.of(self._store, placed, self.tile)
        indices = images[order].tolist()
        batches = [slice(start, start + batch_size) for start in range(0, len(order), batch_size)]
        parts: Iterator[Staged]
        if flat.pixels.device.type == where.type:  # the parameters are sent once an epoch: no step waits
            sent = crops.to(where)
            parts = (Staged(sent.part(batch), flat) for batch in batches)
        else:
            parts = staged_ahead(crops, flat, shape, batches, where)
        for batch, part in zip(batches, parts, strict=True):
            cut_images, masks, cut_maps = cut(part.crops, part.flat, shape)
            maps_there = {name: each.to(device) for name, each in cut_maps.items()}
            yield Batch(cut_images.to(device), masks.to(device), tuple(indices[batch]), maps_there)

    def evaluation_batches(
        self, batch_size: int, device: torch.device | str, most_pixels: int | None = None
    ) -> Iterator[Batch]:
        """Yield every whole image once, padded right and below to a multiple of 32 with ignored pixels.

        Images of equal padded size share batches; within one size they keep their order.

        Args:
            batch_size: most images of a batch.
            device: where they are put.
            most_pixels: padded ones of a batch, unless it is a single image; any number when None.
        """
        device = torch.device(device)
        flat = self._flat(device)
        factors = self.normalization.factors(device)
        for padded, indices in whole_batches(self.sizes, batch_size, most_pixels):
            yield self._whole(indices, padded, flat, factors, device)

    def _whole(
        self,
        indices: Sequence[int],
        padded: tuple[int, int],
        flat: Flat,
        factors: tuple[Tensor, Tensor],
        device: torch.device,
    ) -> Batch:
        labels = torch.full((len(indices), *padded), IGNORE_INDEX, dtype=torch.uint8, device=device)
        images = list[Tensor]()
        for place_, index in enumerate(indices):
            height, width = self.sizes[index]
            start = int(self._offsets[self._rows[index]]) - self._first
            part = slice(start, start + height * width)
            image = normalized(flat.pixels[part].to(device), factors)
            images.append(image.view(height, width, -1))
            labels[place_, :height, :width] = flat.masks[part].to(device).view(height, width)
        return Batch(stacked(images, padded), labels, tuple(indices))

    @property
    def normalization(self) -> Normalization:
        """What images are normalized by."""
        return self._normalization

    def normalized_by(self, normalization: Normalization) -> Split:
        """Return the same images for a model that was trained on other data: evaluated as it was shown those.

        Args:
            normalization: of that data; of as many bands and the same kind of values.
        """
        if normalization == self._normalization:
            return self
        found = copy.copy(self)
        found._normalization = normalization.of_stored_by(self._normalization)
        return found

    def leave(self, device: torch.device) -> None:
        """Let go of what is kept on a device: whether it fits is seen anew when it is next asked for."""
        self._resident.pop(device, None)
        self._most.pop(device, None)

    def _flat(self, device: torch.device) -> Flat:
        """The split's pixels, masks and opened maps: on the device when all of it fits, else on the host."""
        before = self._resident.get(device)
        if before is not None and before.maps.keys() == self._maps.keys():
            return before
        del before
        self._resident.pop(device, None)
        flat = self._mapped()
        if device.type == "cuda":
            if device not in self._most:
                self._most[device] = _RESIDENT_SHARE * room(device)
            if flat.nbytes <= self._most[device]:
                flat = flat.to(device)
        self._resident[device] = flat
        return flat

    def _mapped(self) -> Flat:
        images, masks = self._store.images[self._extent], self._store.masks[self._extent]
        maps = {name: shared(values) for name, values in self._maps.items()}
        return Flat(as_tensor(images), shared(masks), maps)


def cutting_device(device: torch.device) -> torch.device:
    """Where crops for a device are cut: Apple's GPUs have no float64, in which their places are exact."""
    return torch.device("cpu") if device.type == "mps" else device
