"""Precision and recall at every threshold, from a histogram of logits each of positives and negatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lossweep.trainers.metrics.counts import Counts
from lossweep.trainers.metrics.logit_scale import LARGEST, LOGITS, bin_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ConfusionCurve:
    """The confusion counts of one class at every threshold; ``logit >= threshold`` is foreground.

    Attributes:
        positives: (bins,) labelled pixels of the class, by the bin of their logit.
        negatives: (bins,) the other labelled pixels.
    """

    positives: Ints
    negatives: Ints

    @cached_property
    def truth(self) -> int:
        """Pixels of the class."""
        return int(self.positives.sum())

    @property
    def absent(self) -> bool:
        """Not in the truth: the curve says nothing."""
        return not self.truth

    @cached_property
    def _bins(self) -> NDArray[np.intp]:
        """The bins that hold a pixel, highest logit first: the only thresholds that differ."""
        return np.flatnonzero(self.positives + self.negatives)[::-1]

    @cached_property
    def _hits(self) -> Ints:
        return np.cumsum(self.positives[self._bins])

    @cached_property
    def _called(self) -> Ints:
        return self._hits + np.cumsum(self.negatives[self._bins])

    @cached_property
    def precisions(self) -> Floats:
        """TP / (TP + FP) at each distinct logit, highest first."""
        return self._hits / self._called

    @cached_property
    def recalls(self) -> Floats:
        """TP / (TP + FN) at each distinct logit, highest first; 0 where the class does not occur."""
        return self._hits / max(self.truth, 1)

    def average_precision(self) -> float:
        """Return the area under the step curve, sum of (R_n - R_{n-1}) P_n, as scikit-learn defines AP."""
        return min(float(np.sum(np.diff(self.recalls, prepend=0.0) * self.precisions)), 1.0)

    @cached_property
    def _f1(self) -> Floats:
        return 2 * self._hits / (self._called + self.truth)

    def best_f1(self) -> float:
        """Return the highest F1 over all thresholds; 0 where the class does not occur."""
        return float(self._f1.max(initial=0.0))

    def best_threshold(self) -> float:
        """Return the logit threshold of the highest F1; of equal ones the highest.

        A class that does not occur gets the largest logit: it is best not predicted at all.
        """
        return self.threshold_of(int(np.argmax(self._f1))) if self.truth else LARGEST

    def threshold_of(self, point: int) -> float:
        """Return a logit threshold at which the curve has the precision and recall of one of its points.

        It lies midway between the lowest logit taken and the highest left out, so that it carries over to
        other images; and where these are neighbours on the scale of the bins, so that logits that were not
        rounded to it fall on the same side.
        """
        taken = float(LOGITS[self._bins[point]])
        return taken if point + 1 == len(self._bins) else (taken + float(LOGITS[self._bins[point + 1]])) / 2

    def at(self, threshold: float) -> Counts:
        """Return the counts with ``logit >= threshold`` as foreground."""
        lowest = bin_of(threshold)
        tp = int(self.positives[lowest:].sum())
        return Counts(tp, int(self.negatives[lowest:].sum()), self.truth - tp)
