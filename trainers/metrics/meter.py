"""The meter of an evaluation: takes logits and masks, gives every metric of `spaces.metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.trainers.determinism import in_any_order
from lossweep.trainers.evaluation import ImageCounts
from lossweep.trainers.metrics.computing import Counted
from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.curves import ConfusionCurve
from lossweep.trainers.metrics.kept_images import KeptImages
from lossweep.trainers.metrics.logit_scale import BINS, LARGEST, LOWEST_KEY, bin_of, keys
from lossweep.trainers.metrics.objects import ObjectCounts
from lossweep.trainers.metrics.one_vs_rest import one_vs_rest
from lossweep.trainers.metrics.own import Mask, OwnMetric
from lossweep.trainers.metrics.per_image import image_counts
from lossweep.trainers.metrics.sizes import SizeThirds
from lossweep.trainers.metrics.summary import class_figures, class_metric_names, combined, floor_thresholds
from lossweep.trainers.metrics.truth import Truth
from lossweep.trainers.plan import MeasureSpec


@dataclass(frozen=True, slots=True)
class Measured:
    """What an evaluation measured.

    Attributes:
        metrics: by the names of `spaces.metric_names`: macro over the foreground classes and, when there are
            several, ``NAME/CLASS`` for each. Finite, in [0, 1]; count errors are >= 0 and may exceed 1, a
            user's own may be any number.
        threshold: tuned logit threshold of the first foreground class; ``logit >= threshold`` is foreground.
        thresholds: tuned logit threshold of each foreground class.
        floor_thresholds: logit threshold at which each ``recall_at_precision_P`` and
            ``precision_at_recall_R`` of ``metrics`` holds on these images, by its name; with several
            foreground classes by ``NAME/CLASS`` alone, as their mean holds at no single one. Left out where
            no threshold reaches the floor: that metric is 0.
        positives: foreground pixels of the truth.
        absent: foreground classes that do not occur in the truth.
        image_pixels: of each image and class, counts of pixels at the thresholds; only where asked for.
        image_objects: likewise, of objects.
        object_sizes: of each foreground class that has objects, the largest area in pixels of a small and of
            a middle one, as metrics by size tell them apart.
        curves: of each foreground class, its counts at every threshold.
        degenerate: images whose prediction had too many components to be matched, at the worst class and
            threshold.
    """

    metrics: Mapping[str, float]
    threshold: float
    thresholds: tuple[float, ...] = ()
    floor_thresholds: Mapping[str, float] = field(default_factory=dict)
    positives: int = 0
    absent: tuple[str, ...] = ()
    degenerate: int = 0
    image_pixels: ImageCounts = ()
    image_objects: ImageCounts = ()
    object_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    curves: tuple[ConfusionCurve, ...] = field(default=(), compare=False)


class Meter:
    """Sums over one pass through a split; never a mean of batches.

    Logits are counted on the device they are on; nothing waits for it before `compute`.

    Args:
        prior: the classes; two of them have one logit channel, more have one a class.
        measure: object rules, floors, betas and the user's own metrics.
        device: where `update` gets its tensors.
        objects: whether images are kept, for the object metrics and the user's own.
        thirds: which objects of each foreground class are small and which large, None for a class without
            any; without it metrics by size are left out.
        truth: what is known of the masks from earlier passes through the same split; nothing when None.
    """

    def __init__(
        self,
        prior: ClassPrior,
        measure: MeasureSpec,
        device: torch.device | str,
        objects: bool = True,
        thirds: Sequence[SizeThirds | None] = (),
        truth: Truth | None = None,
    ) -> None:
        self._prior = prior
        self._thirds = tuple(thirds)
        self._measure = measure
        self._device = torch.device(device)
        self._foreground = len(prior.names) - 1
        self._objects = objects
        self._truth = truth or Truth(self._foreground, measure, memory=0)
        self.reset()

    def reset(self) -> None:
        """Forget everything counted."""
        classes = len(self._prior.names)
        # [class, is it that class, bin] and, for several classes, [truth, argmax].
        self._histogram = torch.zeros(self._foreground, 2, BINS, dtype=torch.int64, device=self._device)
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64, device=self._device)
        self._kept = KeptImages()

    @torch.no_grad()
    def update(self, logits: Tensor, masks: Tensor) -> None:
        """Count one batch.

        Args:
            logits: (N, K, H, W), any floating type; K = 1 for two classes.
            masks: (N, H, W) integer class indices, 255 ignored.

        Raises:
            ValueError: the shapes do not fit each other or the classes.
        """
        expected = (masks.shape[0], self._prior.channels, *masks.shape[1:])
        if tuple(logits.shape) != expected:
            raise ValueError(
                f"logits must be {expected} for masks {tuple(masks.shape)}, but got {tuple(logits.shape)}"
            )
        truth = masks.to(torch.uint8)
        labelled = (truth != IGNORE_INDEX).long()
        argmax = None
        scores = logits
        if not self._prior.is_binary:
            finite = torch.nan_to_num(logits.float(), nan=-LARGEST).clamp(-LARGEST, LARGEST)
            scores, leader = one_vs_rest(finite)
            scores, argmax = scores[:, 1:], leader.to(torch.uint8)
            cells = truth.long() * labelled * len(self._prior.names) + argmax
            _count(self._confusion, cells, labelled)
        ranks = keys(scores)
        for c in range(self._foreground):  # class by class, so that the 64-bit indices stay small
            cells = (truth == c + 1).long() * BINS + (ranks[:, c].long() - LOWEST_KEY)
            _count(self._histogram[c], cells, labelled)
        if self._objects:
            self._kept.add(truth, ranks, argmax)

    def compute(
        self,
        threshold: float | Sequence[float] | None = None,
        objects: bool = True,
        per_image: bool = False,
    ) -> Measured:
        """Return the metrics of everything counted since the last `reset`; waits for the device once.

        Args:
            threshold: logit thresholds of the ``tuned_`` figures, as validation gave them (one, or one a
                foreground class); None tunes them here, for the best F1 of each class.
            objects: whether to measure objects and the user's own metrics, which takes the longer part of
                the time.
            per_image: whether to count each image by itself, too.

        Raises:
            UserError: one of the user's own metrics failed.
        """
        sums = torch.cat([self._histogram.flatten(), self._confusion.flatten()]).cpu().numpy()
        histogram, confusion = np.split(sums, [self._histogram.numel()])
        curves = [
            ConfusionCurve(positives=is_class, negatives=is_other)
            for is_other, is_class in histogram.reshape(self._foreground, 2, BINS)
        ]
        thresholds = self._thresholds(curves, threshold)
        fixed = [curve.at(0.0) for curve in curves]
        if not self._prior.is_binary:
            fixed = _of_each_class(confusion.reshape(self._confusion.shape))
        counted = [
            Counted(curve, at_fixed, curve.at(at))
            for curve, at_fixed, at in zip(curves, fixed, thresholds, strict=True)
        ]
        degenerate = 0
        objects = objects and self._objects
        if objects:
            at_fixed_point, at_tuned = self._count_objects(thresholds)
            counted = [
                replace(each, fixed_objects=one, tuned_objects=other)
                for each, one, other in zip(counted, at_fixed_point, at_tuned, strict=True)
            ]
            degenerate = max(found.degenerate for found in (*at_fixed_point, *at_tuned))
        classes = self._prior.names[1:]
        pixels: ImageCounts = ()
        found_objects: ImageCounts = ()
        if per_image:
            pixels, found_objects = image_counts(self._kept, thresholds, self._measure, self._truth)
        figures = [class_figures(each, self._measure) for each in counted]
        metrics = combined(classes, figures, class_metric_names(self._measure, objects, bool(self._thirds)))
        for name in self._measure.own if objects else ():
            metrics[name] = OwnMetric.load(name)(self._images(thresholds))
        return Measured(
            metrics=metrics,
            threshold=thresholds[0],
            thresholds=thresholds,
            floor_thresholds={
                name if len(classes) == 1 else f"{name}/{each}": value
                for each, curve in zip(classes, curves, strict=True)
                for name, value in floor_thresholds(curve, self._measure).items()
            },
            positives=sum(curve.truth for curve in curves),
            absent=tuple(name for name, curve in zip(classes, curves, strict=True) if not curve.truth),
            degenerate=degenerate,
            image_pixels=pixels,
            image_objects=found_objects,
            object_sizes={
                name: (third.small, third.middle)
                for name, third in zip(classes, self._thirds, strict=False)
                if third is not None
            },
            curves=tuple(curves),
        )

    def _thresholds(
        self, curves: Sequence[ConfusionCurve], given: float | Sequence[float] | None
    ) -> tuple[float, ...]:
        if given is None:
            return tuple(curve.best_threshold() for curve in curves)
        thresholds = (float(given),) if isinstance(given, int | float) else tuple(map(float, given))
        if len(thresholds) != len(curves):
            raise ValueError(
                f"threshold must be one logit for each of {len(curves)} foreground classes, but got {given}"
            )
        return thresholds

    def _images(self, thresholds: Sequence[float]) -> Iterator[tuple[Mask, Mask]]:
        """Yield truth and prediction of each image: at the tuned threshold, or the likeliest class."""
        lowest = bin_of(thresholds[0]) + LOWEST_KEY
        for image in self._kept.images():
            likeliest = image.argmax
            yield image.truth, (image.keys[0] >= lowest).astype(np.uint8) if likeliest is None else likeliest

    def _count_objects(self, thresholds: Sequence[float]) -> tuple[list[ObjectCounts], list[ObjectCounts]]:
        """Return each foreground class's objects at the fixed point, and at its tuned threshold."""
        lowest = [bin_of(threshold) + LOWEST_KEY for threshold in thresholds]
        thirds = self._thirds or (None,) * len(lowest)
        fixed = [ObjectCounts() for _ in thresholds]
        tuned = list(fixed)
        for place, image in enumerate(self._kept.images()):
            for c, (objects, key) in enumerate(zip(self._truth.of(place, image.truth), lowest, strict=True)):
                ranks = image.keys[c]
                predicted = ranks >= 0 if image.argmax is None else image.argmax == c + 1
                at_fixed_point = objects.compare(predicted, self._measure, thirds[c])
                fixed[c] += at_fixed_point
                same = image.argmax is None and key == 0
                tuned[c] += (
                    at_fixed_point if same else objects.compare(ranks >= key, self._measure, thirds[c])
                )
        return fixed, tuned


def _of_each_class(confusion: NDArray[np.int64]) -> list[Counts]:
    """Return the foreground classes' counts from a (truth, prediction) table."""
    hits, true, called = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        Counts(int(hits[c]), int(called[c] - hits[c]), int(true[c] - hits[c]))
        for c in range(1, len(confusion))
    ]


def _count(table: Tensor, cells: Tensor, amounts: Tensor) -> None:
    """Add integers to the cells of a table, where they belong by their flat position."""
    with in_any_order():
        table.view(-1).scatter_add_(0, cells.flatten(), amounts.flatten())
