"""The names of the validation metrics: what an ``until``, an objective or a pruner may refer to.

Pixel figures are sums over the data set, macro-averaged over the foreground classes; ``NAME/CLASS`` is the
figure of one class. Figures at the fixed operating point (probability 0.5, or argmax) carry no prefix; those
at the threshold tuned on the validation split carry ``tuned_``.
"""

from __future__ import annotations

import re
from typing import Final

PIXEL: Final = ("precision", "recall", "f1", "iou")
TUNED: Final = ("tuned_precision", "tuned_recall", "tuned_f1", "tuned_iou")
CURVE: Final = ("ap", "max_f1")
OBJECT: Final = ("object_precision", "object_recall", "object_f1")
TUNED_OBJECT: Final = ("tuned_object_precision", "tuned_object_recall", "tuned_object_f1")
LOWER_IS_BETTER: Final = ("count_error", "tuned_count_error")
"""Relative count error: |predicted - true| summed over images, divided by the number of true objects."""

FIXED_NAMES: Final = (*PIXEL, *TUNED, *CURVE, *OBJECT, *TUNED_OBJECT, *LOWER_IS_BETTER)
PARAMETRIC: Final = re.compile(
    r"(?P<name>fbeta|recall_at_precision|precision_at_recall)_(?P<value>\d+(?:\.\d+)?)"
)
"""``fbeta_2``: F-beta at 0.5; ``recall_at_precision_0.2``: the highest recall at a precision >= 0.2."""


def is_metric(name: str) -> bool:
    """Whether ``name`` names a metric; a ``/class`` suffix is allowed and not checked here."""
    base = name.partition("/")[0]
    return base in FIXED_NAMES or PARAMETRIC.fullmatch(base) is not None


def higher_is_better(name: str) -> bool:
    """Whether more of this metric is better. Only count errors are better when low."""
    return name.partition("/")[0] not in LOWER_IS_BETTER


ALLOWED: Final = ", ".join((*FIXED_NAMES, "fbeta_B", "recall_at_precision_P", "precision_at_recall_R"))
"""The metric names as an error message lists them."""
