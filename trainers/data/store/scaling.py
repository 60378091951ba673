"""How float bands become 16 bits: between two percentiles of the training pixels, and what spoils them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.spaces.files.errors import UserError
from lossweep.trainers.data.sources.source import Item, Pixels, Progress, Source
from lossweep.trainers.data.store.decoding import decode_all

Range = tuple[float, float]

_SAMPLED = 4096
"""Pixels of an image that are looked at."""
_FILLED, _FAR, _VARIED = 1e-3, 2.0, 16
"""A value is a filling when this share of a band has it, it is this many times as far from all others as they
are from each other, and those are at least so many."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the bands of a data set are scaled.

    Attributes:
        ranges: the ends of each band's range; empty when the images are integers, which are kept as they are.
        suspicions: what a person should look at.
    """

    ranges: tuple[Range, ...] = ()
    suspicions: tuple[str, ...] = ()

    def scaled(self, image: Pixels) -> NDArray[np.uint16]:
        """A float image in 16 bits. Without ranges the training images failed, and so will the build."""
        low, high = np.array(self.ranges or ((0.0, 1.0),) * image.shape[2], np.float32).T
        scaled = np.clip((np.nan_to_num(image) - low) / (high - low), 0.0, 1.0)
        return np.asarray(np.rint(scaled * 65535.0), np.uint16)


def scaling_of(source: Source, items: Sequence[Item], percentiles: Range, progress: Progress) -> Scaling:
    """Measure the training images, when they are floats."""
    for item in items:
        try:
            if source.decode(item).image.dtype != np.float32:
                return Scaling()
            break
        except UserError:  # told when it is decoded in earnest
            continue
    samples: list[NDArray[np.float32]] = []
    for done, (_, decoded) in enumerate(decode_all(source, items), start=1):
        if isinstance(decoded, UserError) or decoded.image.dtype != np.float32:
            continue
        labelled = decoded.image[(decoded.mask != IGNORE_INDEX) & np.isfinite(decoded.image).all(axis=2)]
        samples.append(labelled[:: max(1, len(labelled) // _SAMPLED)])
        progress("measure", done, len(items))
    fitting = [sample for sample in samples if sample.shape[1] == samples[0].shape[1] and len(sample)]
    if not fitting:
        return Scaling()
    values = np.concatenate(fitting)
    low, high = np.percentile(values, percentiles, axis=0)
    ranges = ((float(a), float(b) if b > a else float(a) + 1.0) for a, b in zip(low, high, strict=True))
    return Scaling(tuple(ranges), tuple(fillings(values)))


def fillings(values: NDArray[np.float32]) -> Iterator[str]:
    """Values (pixels, bands) that seem to fill holes: common, and far from all others.

    They would set the scale: what the image shows is left a few of the 65,536 levels.
    """
    for band in range(values.shape[1]):
        column = values[:, band]
        for filling in dict.fromkeys((float(column.min()), float(column.max()))):
            others = column[column != filling]
            if len(np.unique(others)) < _VARIED or len(others) > (1.0 - _FILLED) * len(column):
                continue
            low, high = float(others.min()), float(others.max())
            if min(abs(filling - low), abs(filling - high)) > _FAR * (high - low):
                share = 1.0 - len(others) / len(column)
                yield (
                    f"band {band}: {share:.1%} of the training values are {filling:g}, far from all others"
                    f" ({low:g} to {high:g}): if that is no data, declare it as the files' nodata value, or"
                    " give those pixels the ignored value"
                )
