"""Which crops an epoch holds, where and how each is cut: a function of (seed, epoch, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.data.spec import Augmentation
from lossweep.trainers.data.store.decoded import Items


@dataclass(frozen=True, slots=True)
class Placements:
    """The crops of one epoch; arrays over crops.

    A crop's pixel (i, j) shows the image at row ``top + (turn[0, 0] i + turn[0, 1] j) / zoom`` and column
    ``left + (turn[1, 0] i + turn[1, 1] j) / zoom``.

    Attributes:
        order: in which the crops are trained.
        images: the image each is cut from.
        tops: image row of the crop's first pixel.
        lefts: image column of the crop's first pixel.
        turns: (crops, 2, 2) the symmetry of the square, of -1, 0 and 1.
        zooms: magnification.
        contrasts: factor on the deviation from the band's mean.
        brightnesses: added, in standard deviations of the band.
    """

    order: NDArray[np.int64]
    images: NDArray[np.int64]
    tops: NDArray[np.float64]
    lefts: NDArray[np.float64]
    turns: NDArray[np.int64]
    zooms: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    brightnesses: NDArray[np.float64]


def crops_of(items: Items, rows: NDArray[np.int64], tile: int, crops: int | None) -> NDArray[np.int64]:
    """Return, for each crop of an epoch, the position in ``rows`` of the image it is cut from.

    By default an image gives as many crops as cover its area once, at least one; an image without a single
    labelled pixel gives none.
    """
    by_area = np.maximum(1, np.rint(items.areas[rows] / tile**2)).astype(np.int64)
    count = by_area if crops is None else np.full(len(rows), crops)
    return np.repeat(np.arange(len(rows)), count * items.counts[rows, :-1].any(axis=1))


def place(
    items: Items,
    rows: NDArray[np.int64],
    crops: NDArray[np.int64],
    tile: int,
    augment: Augmentation,
    seed: int,
    epoch: int,
) -> Placements:
    """Place the crops of an epoch.

    Args:
        items: of the store.
        rows: the split's images, as indices into ``items``.
        crops: what `crops_of` returned.
        tile: side of a crop in pixels.
        augment: how crops may differ from what the image shows.
        seed: of the trial.
        epoch: from 0.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).random(
        (11, len(crops))
    )
    zooms = _zooms(random[0], augment.scale)
    images = rows[crops]
    side = tile / zooms
    whole = augment.scale == (1.0, 1.0)
    heights, widths = items.heights[images], items.widths[images]
    tops, lefts = _start(heights, side, random[1], whole), _start(widths, side, random[2], whole)
    if augment.foreground_bias > 0.0:
        biased = (random[3] < augment.foreground_bias) & (items.anchor_counts[images].sum(axis=1) > 0)
        rows_of, columns_of = _anchors(items, images, random[4], random[5])
        tops = np.where(biased, _start(heights, side, random[1], whole, rows_of), tops)
        lefts = np.where(biased, _start(widths, side, random[2], whole, columns_of), lefts)
    turns = _symmetries(random[6], random[7], augment)
    # A crop that runs backwards along an axis starts at its other end.
    last = (tile - 1) / zooms
    # The center of the crop's first pixel lies half a crop pixel inside its edge.
    inset = 0.5 / zooms - 0.5
    tops = tops + inset + np.where(turns[:, 0].sum(axis=1) < 0, last, 0.0)
    lefts = lefts + inset + np.where(turns[:, 1].sum(axis=1) < 0, last, 0.0)
    return Placements(
        order=np.argsort(random[8], kind="stable"),
        images=images,
        tops=tops,
        lefts=lefts,
        turns=turns,
        zooms=zooms,
        contrasts=1.0 + augment.contrast * (2.0 * random[9] - 1.0),
        brightnesses=augment.brightness * (2.0 * random[10] - 1.0),
    )


def _zooms(random: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float64]:
    low, high = np.log(scale)
    return np.asarray(np.exp(low + (high - low) * random))


def _start(
    extent: NDArray[np.int64],
    side: NDArray[np.float64],
    random: NDArray[np.float64],
    whole: bool,
    hold: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """The crop's upper (or left) edge: within the image, or around it when it is smaller.

    The crop holds the pixel ``hold``; its edge is a whole number when ``whole``.
    """
    low, high = np.minimum(0.0, extent - side), np.maximum(0.0, extent - side)
    if hold is not None:
        low, high = np.maximum(low, hold - side + 1.0), np.minimum(high, hold)
    if whole:
        return np.asarray(np.minimum(np.floor(low + random * (high - low + 1.0)), high))
    return np.asarray(low + random * (high - low))


def _anchors(
    items: Items, images: NDArray[np.int64], class_draw: NDArray[np.float64], pixel_draw: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a foreground pixel (row, column) of each image, its class evenly; anything if there is none."""
    counts = items.anchor_counts[images]
    present = counts > 0
    wanted = np.floor(class_draw * present.sum(axis=1)).astype(np.int64)
    chosen = np.argmax(np.cumsum(present, axis=1) > wanted[:, None], axis=1)
    each = np.arange(len(images))
    pick = items.anchor_starts[images][each, chosen] + np.floor(pixel_draw * counts[each, chosen]).astype(
        np.int64
    )
    anchors = items.anchors if len(items.anchors) else np.zeros(1, np.int64)
    position = anchors[np.minimum(pick, len(anchors) - 1)]
    return position // items.widths[images], position % items.widths[images]


def _symmetries(
    flip_draw: NDArray[np.float64], turn_draw: NDArray[np.float64], augment: Augmentation
) -> NDArray[np.int64]:
    """Draw (crops, 2, 2) matrices: a quarter turn, mirrored left-right or not."""
    quarters = np.array(
        [[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], np.int64
    )
    turns = quarters[
        np.floor(4.0 * turn_draw).astype(np.int64) if augment.quarter_turns else 0 * turn_draw.astype(int)
    ]
    mirrored = (flip_draw < 0.5) & augment.flip
    return np.where(mirrored[:, None, None], turns * np.array([1, -1]), turns)
