"""Counts of each image by itself: what a bootstrap over images draws from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lossweep.spaces.class_prior import IGNORE_INDEX
from lossweep.trainers.evaluation import ImageCounts
from lossweep.trainers.metrics.kept_images import KeptImages
from lossweep.trainers.metrics.logit_scale import LOWEST_KEY, bin_of
from lossweep.trainers.metrics.truth import Truth
from lossweep.trainers.plan import MeasureSpec


def image_counts(
    kept: KeptImages, thresholds: Sequence[float], measure: MeasureSpec, truth: Truth
) -> tuple[ImageCounts, ImageCounts]:
    """Return counts of pixels and of objects, by image and foreground class.

    Args:
        kept: the images of a split.
        thresholds: on logits, one a foreground class.
        measure: object rules.
        truth: of the split, as far as it is known.
    """
    lowest = [bin_of(threshold) + LOWEST_KEY for threshold in thresholds]
    pixels, objects = [], []
    for place, image in enumerate(kept.images()):
        labelled = image.truth != IGNORE_INDEX
        of_pixels, of_objects = [], []
        for c, (true_objects, key) in enumerate(zip(truth.of(place, image.truth), lowest, strict=True)):
            is_class, called = image.truth == c + 1, image.keys[c] >= key
            hits = int(np.count_nonzero(is_class & called))
            alarms = int(np.count_nonzero(called & labelled)) - hits
            of_pixels.append((hits, alarms, int(np.count_nonzero(is_class)) - hits))
            counts = true_objects.compare(called, measure).counts
            of_objects.append((counts.tp, counts.fp, counts.fn))
        pixels.append(tuple(of_pixels))
        objects.append(tuple(of_objects))
    return tuple(pixels), tuple(objects)
