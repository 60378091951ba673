"""Whole images in batches: padded to whole strides, those of one size together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

STRIDE: Final = 32
"""Evaluated images are padded to a multiple of this: the coarsest stride of common encoders."""


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of an evaluated image of this size, which is padded to whole strides."""
    return -height % STRIDE + height, -width % STRIDE + width


def whole_batches(
    sizes: Sequence[tuple[int, int]], images: int, most_pixels: int | None = None
) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield how whole images are put into batches: their padded size, and which of them.

    Images of equal padded size share batches; within one size they keep their order.

    Args:
        sizes: (height, width) of each image.
        images: most of a batch.
        most_pixels: padded ones of a batch, unless it is a single image; any number when None.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(sizes):
        by_size.setdefault(padded_size(*size), []).append(index)
    for padded, indices in by_size.items():
        fitting = images if most_pixels is None else most_pixels // (padded[0] * padded[1])
        count = max(1, min(images, fitting))
        for first in range(0, len(indices), count):
            yield padded, indices[first : first + count]


def stacked(images: Iterable[Tensor], padded: tuple[int, int]) -> Tensor:
    """Return normalized images (height, width, bands) as a batch (images, bands, *padded).

    They are padded right and below with 0, the mean of training; channels last in memory.
    """
    parts = [
        torch.nn.functional.pad(image, (0, 0, 0, padded[1] - image.shape[1], 0, padded[0] - image.shape[0]))
        for image in images
    ]
    return torch.stack(parts).permute(0, 3, 1, 2)
