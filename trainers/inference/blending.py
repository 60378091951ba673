"""An image of any size predicted in overlapping tiles, a row of them at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.data.crops.whole_images import stacked
from lossweep.trainers.inference.pictures import Shown
from lossweep.trainers.inference.segmenter import Floats, Segmenter
from lossweep.trainers.inference.tiling import Tiling
from lossweep.trainers.loop.passes import Forward

FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
"""Axes of images (N, C, H, W): as it is, mirrored left to right, top to bottom, and both."""


class Scene(Protocol):
    """An image that is read by windows.

    Attributes:
        shape: height and width in pixels.
    """

    shape: tuple[int, int]

    def read(self, row: int, column: int, height: int, width: int) -> Shown:
        """Read a window that lies in the image."""


@dataclass(frozen=True, slots=True)
class Band:
    """Rows of an image, predicted.

    Attributes:
        index: of the row of tiles that settled them.
        top: the first row.
        mask: (rows, width) class indices, 255 where the image shows nothing.
        probabilities: (K, rows, width), NaN where it shows nothing; None where they were not asked for.
    """

    index: int
    top: int
    mask: NDArray[np.uint8]
    probabilities: Floats | None = None


def bands(
    segmenter: Segmenter,
    scene: Scene,
    tiling: Tiling,
    *,
    flips: bool = False,
    probabilities: bool = False,
    first: int = 0,
) -> Iterator[Band]:
    """Predict an image from a row of tiles on, top to bottom.

    Logits are blended, and thresholds are on what comes of it. Held are one row of tiles' overlap with the
    next, and a few tiles: memory grows with the image's width, and not with its height. What a band holds
    does not depend on where one begins.

    Args:
        segmenter: predicts.
        scene: the image.
        tiling: of the same shape.
        flips: predict each tile four times, mirrored, and take the mean of the logits.
        probabilities: whether they are wanted, too.
        first: the row of tiles to begin with.

    Raises:
        UserError: a window can't be read.
    """
    carry: Floats | None = None
    with segmenter.forward() as forward:
        blended = _Blender(segmenter, scene, tiling, forward, flips)
        for before in tiling.rows.reaching(first):  # what they leave, as if they had just been predicted
            carry = blended.settled(before, carry, None)
        for index in range(first, len(tiling.rows.starts)):
            final = tiling.rows.final(index)
            rows = min(final.stop, scene.shape[0]) - final.start
            band = Band(
                index,
                final.start,
                np.empty((max(rows, 0), scene.shape[1]), np.uint8),
                np.empty((segmenter.spec.channels, max(rows, 0), scene.shape[1]), np.float32)
                if probabilities
                else None,
            )
            carry = blended.settled(index, carry, band)
            if rows > 0:
                yield band


class _Blender:
    """Adds up the weighted logits of tiles."""

    def __init__(
        self, segmenter: Segmenter, scene: Scene, tiling: Tiling, forward: Forward, flips: bool
    ) -> None:
        self._segmenter, self._scene, self._tiling = segmenter, scene, tiling
        self._forward, self._axes = forward, FLIPS if flips else FLIPS[:1]

    def settled(self, index: int, carry: Floats | None, band: Band | None) -> Floats:
        """Add a row of tiles, and write what of it is settled into a band.

        Args:
            index: of the row.
            carry: what the row before left of the rows that the two share, (K, rows, padded width).
            band: to be filled; None where only what is carried on is wanted.

        Returns:
            What this row leaves to the next.
        """
        rows, columns = self._tiling.rows, self._tiling.columns
        start = rows.starts[index]
        final = rows.final(index)
        channels = self._segmenter.spec.channels
        left = np.zeros((channels, max(0, start + rows.side - final.stop), columns.extent), np.float32)
        moving = np.zeros((channels, rows.side, columns.side), np.float32)
        seen_rows = np.zeros((rows.side, columns.extent), bool)
        place = 0  # of the first column in ``moving``
        for column, shown, logits in self._tiles(index):
            at = columns.starts[column]
            moving[:, :, : columns.side - (at - place)] = moving[:, :, at - place :]
            moving[:, :, columns.side - (at - place) :] = 0.0
            place = at
            if shown is not None:
                seen_rows[: shown.shape[0], at : at + shown.shape[1]] = shown
            if logits is not None:
                moving += logits * np.outer(rows.weights[index], columns.weights[column])
            stretch = columns.final(column)
            done = moving[:, :, : stretch.stop - stretch.start]
            if carry is not None:
                done[:, : carry.shape[1]] += carry[:, :, stretch]
            left[:, :, stretch] = done[:, final.stop - start :]
            if band is not None:
                self._decide(band, done, seen_rows, stretch)
        return left

    def _decide(self, band: Band, logits: Floats, seen: NDArray[np.bool_], stretch: slice) -> None:
        height = band.mask.shape[0]
        width = min(stretch.stop, self._scene.shape[1]) - stretch.start
        if width <= 0 or height <= 0:
            return
        where = slice(stretch.start, stretch.start + width)
        settled = np.ascontiguousarray(logits[:, :height, :width])
        valid = seen[:height, where]
        band.mask[:, where] = np.where(valid, self._segmenter.mask_of(settled), np.uint8(IGNORE_INDEX))
        if band.probabilities is not None:
            shares = self._segmenter.probabilities_of(settled)
            band.probabilities[:, :, where] = np.where(valid, shares, np.float32(np.nan))

    def _tiles(self, index: int) -> Iterator[tuple[int, NDArray[np.bool_] | None, Floats | None]]:
        """Yield of each tile of a row: its place, what of it shows something, and its logits.

        A tile that shows nothing is not predicted: all that it would count for shows nothing.
        """
        most = self._segmenter.pass_size.images_of(self._tiling.rows.side, self._tiling.columns.side)
        waiting: list[tuple[int, NDArray[np.bool_], Tensor | None]] = []
        for column in range(len(self._tiling.columns.starts)):
            valid, image = self._read(index, column)
            waiting.append((column, valid, image))
            if sum(image is not None for _, _, image in waiting) == most:
                yield from self._predicted(waiting)
                waiting = []
        yield from self._predicted(waiting)

    def _read(self, index: int, column: int) -> tuple[NDArray[np.bool_], Tensor | None]:
        rows, columns = self._tiling.rows, self._tiling.columns
        top, left = rows.starts[index], columns.starts[column]
        height = min(rows.side, self._scene.shape[0] - top)
        width = min(columns.side, self._scene.shape[1] - left)
        if height <= 0 or width <= 0:  # a tile of padding alone
            return np.zeros((max(0, height), max(0, width)), bool), None
        shown = self._scene.read(top, left, height, width)
        valid = np.ones((height, width), bool) if shown.valid is None else shown.valid
        if not valid.any():
            return valid, None
        normalization = self._segmenter.spec.normalization
        return valid, normalization.normalized(shown.pixels, self._segmenter.numerics.device)

    def _predicted(
        self, waiting: list[tuple[int, NDArray[np.bool_], Tensor | None]]
    ) -> Iterator[tuple[int, NDArray[np.bool_] | None, Floats | None]]:
        images = [image for _, _, image in waiting if image is not None]
        found: Iterator[Floats] = iter(())
        if images:
            side = self._tiling.rows.side, self._tiling.columns.side
            found = iter(self._logits(stacked(images, side)))
        for column, valid, image in waiting:
            yield column, valid, next(found) if image is not None else None

    def _logits(self, images: Tensor) -> Floats:
        """The mean over the mirrored images."""
        total: Tensor | None = None
        for axes in self._axes:
            turned = torch.flip(images, axes) if axes else images
            logits = self._forward(turned).float()
            logits = torch.flip(logits, axes) if axes else logits
            total = logits if total is None else total + logits
        assert total is not None
        return np.asarray((total / len(self._axes)).cpu().numpy())
