"""Which objects of a data set are small, middle and large, and whether validation has enough of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metric_names import metric_of
from lossweep.spaces.metrics import SIZES
from lossweep.trainers.data.crops.batches import Split
from lossweep.trainers.data.spec import SplitName
from lossweep.trainers.metrics.objects import TrueObjects
from lossweep.trainers.metrics.sizes import SizeThirds
from lossweep.trainers.plan import MeasureSpec

Areas = NDArray[np.int64]

FEW = 20
"""Objects of a size below which one of them moves the recall by more than seeds usually do."""

_THIRDS: dict[tuple[object, ...], tuple[SizeThirds | None, ...]] = {}
"""Of the data that this process has measured on."""


def size_thirds(split: Split, prior: ClassPrior, measure: MeasureSpec) -> tuple[SizeThirds | None, ...]:
    """Return which objects of each foreground class are small, middle and large in these data.

    Args:
        split: any of the data; the thirds are of the training masks.
        prior: the classes.
        measure: what an object is.
    """
    key = split.fingerprint, prior.names, measure.connectivity, measure.minimum_area
    if key not in _THIRDS:
        areas = [_areas(split, "train", index, measure) for index in range(1, len(prior.names))]
        _THIRDS[key] = tuple(map(SizeThirds.over, areas))
    return _THIRDS[key]


def check_sizes(
    wanted: Iterable[str], split: Split, prior: ClassPrior, measure: MeasureSpec
) -> tuple[str, ...]:
    """Check that metrics by size say something of a split: that it has such objects.

    Args:
        wanted: metrics that a sweep steers by; others than those by size are passed over.
        split: what they are measured on.
        prior: the classes.
        measure: what an object is.

    Returns:
        What a person should look at, one line each: metrics of a few objects only.

    Raises:
        UserError: with each metric that would always be 0, as no object is of that size.
    """
    problems, suspicions = [], []
    named = {name: metric for name in wanted if (metric := metric_of(name)) is not None and metric.of_sizes}
    if not named:
        return ()
    thirds = size_thirds(split, prior, measure)
    counts = {
        name: third.counts(
            np.concatenate([np.empty(0, np.int64), *_areas(split, split.name, index, measure)])
        )
        for index, (name, third) in enumerate(zip(prior.names[1:], thirds, strict=True), start=1)
        if third is not None
    }
    for name, metric in named.items():
        size = metric.name.rpartition("_")[2]
        of_class = name.partition("/")[2]
        those = [of for each, of in counts.items() if of_class in ("", each)]
        objects = sum(each.true[SIZES.index(size)] for each in those)
        what = f"{size} objects{f' of {of_class}' if of_class else ''}"
        if not objects:
            hint = f"sizes are thirds by area of the training masks' objects; move some to {split.name}"
            problems.append(Problem(f"{split.name} has no {what}", found=name, hint=hint))
        elif objects < FEW:
            suspicions.append(
                f"{name}: {split.name} has {objects} {what}: one of them moves it by {1 / objects:.2g}"
            )
    if problems:
        raise UserError(problems)
    return tuple(suspicions)


def _areas(split: Split, of: SplitName, index: int, measure: MeasureSpec) -> Iterator[Areas]:
    """Yield the areas of one class's objects in each mask of a split of the same data."""
    for mask in split.masks_of(of):
        if (is_class := mask == index).any():
            yield TrueObjects.of(is_class, None, measure).areas(measure)
