"""How an evaluation goes through images: small ones several a pass, a large one in overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn

from lossweep.trainers.data.crops.whole_images import STRIDE, padded_size
from lossweep.trainers.loop.numerics import Numerics

Forward: TypeAlias = Callable[[Tensor], Tensor]
"""From images (N, C, h, w) to logits (N, K, h, w)."""

PIXELS: Final = 2**20
"""Of one pass where training takes fewer: a ResNet18 U-Net needs 0.4 GB for as many."""

_LEAST_SIDE: Final = 128
"""Of a window, in pixels. A model sees less around an object than it needs in a smaller one."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image that one pass sees, and the part of its prediction that is kept.

    Attributes:
        seen: rows and columns of the image.
        kept: likewise, without the margins that a neighbour sees with more around them.
    """

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]

    @property
    def inner(self) -> tuple[slice, slice]:
        """What is kept, counted from the window's own corner."""
        rows, columns = (
            slice(kept.start - seen.start, kept.stop - seen.start)
            for seen, kept in zip(self.seen, self.kept, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class PassSize:
    """The most that one forward pass of an evaluation takes.

    It follows from what a pass of training takes, so that figures do not depend on the machine. When memory
    is short for it nevertheless, an evaluation goes on with half of it, and training stays as it is.

    Attributes:
        images: of equal padded size.
        pixels: of all of them together. An image that has more is seen in windows.
        tile: side of a training crop; no window is smaller.
    """

    images: int
    pixels: int
    tile: int

    @classmethod
    def of(cls, images: int, tile: int) -> PassSize:
        """The size for a model that trains on so many crops of this side in one pass."""
        return cls(images, max(images * tile**2, PIXELS), tile)

    def images_of(self, height: int, width: int) -> int:
        """Images of this padded size in one pass."""
        return max(1, min(self.images, self.pixels // (height * width)))

    def windows(self, height: int, width: int) -> tuple[Window, ...]:
        """Cut an image of this padded size: every pixel is kept of exactly one window.

        Windows are of one size and as even as can be. They start where the encoder's coarsest grid has a
        line, so that a model that looks no further than the overlap predicts what it would of the whole.
        """
        if height * width <= self.pixels:
            return (Window((slice(0, height), slice(0, width)), (slice(0, height), slice(0, width))),)
        side = max(_whole_strides(math.isqrt(self.pixels)), self._least)
        across = min(width, max(side, _whole_strides(self.pixels // height))) if height <= side else side
        down = min(height, max(side, _whole_strides(self.pixels // width))) if width <= side else side
        return tuple(
            Window((seen_rows, seen_columns), (kept_rows, kept_columns))
            for seen_rows, kept_rows in _cuts(height, down)
            for seen_columns, kept_columns in _cuts(width, across)
        )

    def shapes(self, sizes: Iterable[tuple[int, int]]) -> set[tuple[int, int, int]]:
        """Return (images, height, width) of the passes over images of these sizes.

        How many images of a size there are is not asked: one alone counts, and as many as a pass takes.
        """
        found = set()
        for padded in {padded_size(*size) for size in sizes}:
            rows, columns = self.windows(*padded)[0].seen
            shape = rows.stop - rows.start, columns.stop - columns.start
            found |= {(images, *shape) for images in (1, self.images_of(*padded))}
        return found

    def halved(self, sizes: Sequence[tuple[int, int]]) -> PassSize | None:
        """Half of the largest pass that images of these sizes take; None when they can't be cut further."""
        largest = self._largest(sizes)
        half = replace(self, pixels=largest // 2)
        return half if half._largest(sizes) < largest else None

    def _largest(self, sizes: Sequence[tuple[int, int]]) -> int:
        return max((count * height * width for count, height, width in self.shapes(sizes)), default=0)

    @property
    def _least(self) -> int:
        return max(_LEAST_SIDE, -(-self.tile // STRIDE) * STRIDE)


@contextmanager
def predicting(model: nn.Module, numerics: Numerics) -> Iterator[Forward]:
    """Predict with a model that lies on the device, without gradients; its mode is put back.

    Args:
        model: any.
        numerics: device, precision and memory format.
    """

    def forward(images: Tensor) -> Tensor:
        with numerics.autocast():
            logits: Tensor = model(numerics.lay_out(images))
        return logits

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield forward
    finally:
        model.train(was_training)


def predicted(forward: Forward, images: Tensor, size: PassSize) -> Tensor:
    """Return the logits of whole images, seen in as many windows as they need.

    Args:
        forward: of a model (`predicting`).
        images: (N, C, H, W), H and W multiples of `STRIDE`.
        size: of a pass.
    """
    first, *others = size.windows(*images.shape[2:])
    logits = forward(images[:, :, *first.seen])
    if not others:
        return logits
    whole = logits.new_empty(*logits.shape[:2], *images.shape[2:])
    whole[:, :, *first.kept] = logits[:, :, *first.inner]
    for window in others:
        whole[:, :, *window.kept] = forward(images[:, :, *window.seen])[:, :, *window.inner]
    return whole


def _whole_strides(pixels: int) -> int:
    return pixels // STRIDE * STRIDE


def _cuts(extent: int, most: int) -> tuple[tuple[slice, slice], ...]:
    """Cut one axis into even parts of at most ``most`` that overlap by a quarter: what is seen, and kept."""
    if extent <= most:
        return ((slice(0, extent), slice(0, extent)),)
    # In strides: both ends of a part lie on the grid.
    extent, most = extent // STRIDE, most // STRIDE
    overlap = max(1, most // 4)
    parts = -(-(extent - overlap) // (most - overlap))
    side = -(-(extent + (parts - 1) * overlap) // parts)
    starts = [part * (extent - side) // (parts - 1) * STRIDE for part in range(parts)]
    extent, side = extent * STRIDE, side * STRIDE
    # Two neighbours share their overlap: each keeps the half that it has more around of.
    borders = [(start + side + following) // 2 for start, following in pairwise(starts)]
    kept = zip([0, *borders], [*borders, extent], strict=True)
    return tuple((slice(start, start + side), slice(*ends)) for start, ends in zip(starts, kept, strict=True))
