"""Decoded data on disk: flat memory-mapped pixels that every process of a machine shares.

A store is a folder that never changes once it stands: ``images.bin`` (pixels, bands) uint8 or uint16,
``masks.bin`` (pixels,) uint8, ``items.npz`` (where each image lies, and what its mask holds) and
``meta.json``. Images of a split lie one after another, rows first. Only its folder ``maps`` grows, by what
follows from the masks (`trainers.data.store.mask_maps`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import ClassPrior
from lossweep.trainers.data.spec import SPLITS, SplitName

FORMAT = 3
"""Raised whenever a store of an older lossweep would be read wrongly; part of every key."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What holds for all images of a store.

    Attributes:
        classes: their names.
        bands: of an image.
        dtype: ``uint8`` or ``uint16``.
        ranges: (low, high) of each band before float values were scaled to uint16; empty for integer images.
        mean: of each band over labelled training pixels, in stored units.
        std: standard deviation, likewise; 1 for a constant band.
        fingerprint: ``sha256:...`` of everything decoded.
        notes: what was done silently, as lines to print.
        suspicions: what a person should look at, likewise.
        format: of the store.
    """

    classes: tuple[str, ...]
    bands: int
    dtype: str
    ranges: tuple[tuple[float, float], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()
    format: int = FORMAT

    @classmethod
    def read(cls, path: Path) -> Meta:
        """Read what `write` wrote."""
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        fields["ranges"] = tuple(map(tuple, data["ranges"]))
        return cls(**fields)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Items:
    """Where the images lie and what their masks hold; arrays over all images, in the order of the splits.

    Attributes:
        names: of the images.
        splits: index into `SPLITS`.
        heights: pixels.
        widths: pixels.
        counts: (images, classes + 1) pixels of each class, ignored ones last.
        digests: 8 bytes of a hash of the image's pixels.
        anchor_starts: (images, classes) where the anchors of a class start.
        anchor_counts: (images, classes) how many there are.
        anchors: positions within the image of an even sample of each foreground class's pixels.
    """

    names: NDArray[np.str_]
    splits: NDArray[np.uint8]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    counts: NDArray[np.int64]
    digests: NDArray[np.uint64]
    anchor_starts: NDArray[np.int64]
    anchor_counts: NDArray[np.int64]
    anchors: NDArray[np.int64]

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each image."""
        return self.heights * self.widths

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The first pixel of each image."""
        return np.concatenate([[0], np.cumsum(self.areas)[:-1]]).astype(np.int64)[: len(self.heights)]

    def rows(self, split: SplitName) -> NDArray[np.int64]:
        """Indices of a split's images."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def class_counts(self, split: SplitName) -> NDArray[np.int64]:
        """Pixels of each class in a split, ignored ones last."""
        return np.asarray(self.counts[self.rows(split)].sum(axis=0))


@dataclass(frozen=True, slots=True)
class Store:
    """An open store.

    Attributes:
        meta: what holds for all images.
        items: where each lies.
        images: (pixels, bands), mapped from disk.
        masks: (pixels,), mapped from disk.
        folder: where it lies; None when it was made in memory.
    """

    meta: Meta
    items: Items
    images: NDArray[np.uint8] | NDArray[np.uint16]
    masks: NDArray[np.uint8]
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> Store | None:
        """Open a store; None when there is none, or it is not whole."""
        try:
            meta = Meta.read(folder / "meta.json")
            with np.load(folder / "items.npz", allow_pickle=False) as arrays:
                items = Items(**{name: arrays[name] for name in Items.__slots__})
            pixels = int(items.areas.sum())
            # Mode "r", not "c" (copy on write): Linux refuses writable private mappings larger than memory.
            images = np.memmap(folder / "images.bin", np.dtype(meta.dtype), "r", shape=(pixels, meta.bands))
            masks = np.memmap(folder / "masks.bin", np.uint8, "r", shape=(pixels,))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error):
            return None
        return cls(meta, items, images, masks, folder) if meta.format == FORMAT else None

    @property
    def prior(self) -> ClassPrior:
        """The classes and their share of the labelled training pixels."""
        counts = self.items.class_counts("train")[:-1]
        total = max(1, int(counts.sum()))
        return ClassPrior(names=self.meta.classes, frequencies=tuple(float(c / total) for c in counts))

    def pixels_of(self, split: SplitName) -> int:
        """Pixels of a split's images."""
        return int(self.items.areas[self.items.rows(split)].sum())

    def masks_of(self, split: SplitName) -> Iterator[NDArray[np.uint8]]:
        """The masks (height, width) of a split, in order."""
        offsets = self.items.offsets
        for row in self.items.rows(split):
            height, width, start = (
                int(self.items.heights[row]),
                int(self.items.widths[row]),
                int(offsets[row]),
            )
            yield self.masks[start : start + height * width].reshape(height, width)


def even_anchors(mask: NDArray[np.uint8], classes: int, most: int = 256) -> Sequence[NDArray[np.int64]]:
    """Return up to ``most`` evenly spread positions of each class's pixels; none for the background."""
    flat = mask.ravel()
    foreground = np.flatnonzero((flat > 0) & (flat < classes))
    labels = flat[foreground]
    found = [np.empty(0, np.int64)]
    for index in range(1, classes):
        pixels = foreground[labels == index]
        take = np.linspace(0, len(pixels) - 1, min(most, len(pixels))).astype(np.int64)
        found.append(pixels[take].astype(np.int64))
    return found
