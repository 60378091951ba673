"""Counts of true positives, false positives and false negatives, of pixels or objects, and their ratios."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the data set. A ratio whose divisor is 0 is 0: nothing found is no merit.

    Attributes:
        tp: true positives.
        fp: false positives.
        fn: false negatives.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def absent(self) -> bool:
        """Neither in the truth nor in the prediction: no figure says anything, so no mean should hold it."""
        return self.tp + self.fp + self.fn == 0

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return self.tp / max(self.tp + self.fp, 1)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return self.tp / max(self.tp + self.fn, 1)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall."""
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return self.tp / max(self.tp + self.fp + self.fn, 1)
