"""Stores of decoded images that are made in memory."""

from __future__ import annotations

import numpy as np

from lossweep.trainers.data.store.decoded import Items, Meta, Store, even_anchors


def make_store(images: list[np.ndarray], masks: list[np.ndarray], classes: int = 2) -> Store:
    """A store in memory whose stored values are its normalized ones."""
    anchors = [even_anchors(mask, classes) for mask in masks]
    lengths = np.array([[len(pixels) for pixels in row] for row in anchors])
    counts = [np.bincount(mask.ravel(), minlength=256) for mask in masks]
    bands = images[0].shape[2]
    items = Items(
        names=np.array([f"i{i}" for i in range(len(images))]),
        splits=np.zeros(len(images), np.uint8),
        heights=np.array([mask.shape[0] for mask in masks]),
        widths=np.array([mask.shape[1] for mask in masks]),
        counts=np.array([[*count[:classes], count[255]] for count in counts]),
        digests=np.zeros(len(images), np.uint64),
        anchor_starts=np.concatenate([[0], np.cumsum(lengths.ravel())[:-1]]).reshape(lengths.shape),
        anchor_counts=lengths,
        anchors=np.concatenate([pixels for row in anchors for pixels in row]),
    )
    names = tuple(f"c{i}" for i in range(classes))
    meta = Meta(names, bands, str(images[0].dtype), (), (0.0,) * bands, (1.0,) * bands, "sha256:0")
    flat = np.concatenate([image.reshape(-1, bands) for image in images])
    return Store(meta, items, flat, np.concatenate([mask.ravel() for mask in masks]))
