"""The names of the validation metrics: what an ``until``, an objective or a pruner may refer to.

Pixel figures are sums over the data set, macro-averaged over the foreground classes; ``NAME/CLASS`` is the
figure of one class. Figures at the fixed operating point (probability 0.5, or argmax) carry no prefix; those
at the threshold tuned on the validation split carry ``tuned_``.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator

from lossweep.spaces.files.errors import nearest, refused

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

ALLOWED: Final = ", ".join((*FIXED_NAMES, "fbeta_B", "recall_at_precision_P", "precision_at_recall_R"))
"""The metric names as an error message lists them."""


def parametric_name(name: str, value: float) -> str:
    """Return a metric's name with its parameter in decimals: ``recall_at_precision_0.2``, ``fbeta_2``."""
    return f"{name}_{Decimal(repr(float(value))).normalize():f}"


def canonical_metric(name: str) -> str:
    """Return a metric's name as evaluations spell it: ``fbeta_2.0`` is ``fbeta_2``.

    A ``/class`` suffix is allowed, kept, and not checked here.

    Raises:
        ValueError: no metric is called so, a floor is not in (0, 1], or a beta is not positive.
    """
    base, slash, one_class = name.partition("/")
    if base in FIXED_NAMES:
        return name
    found = PARAMETRIC.fullmatch(base)
    if found is None:
        raise refused("unknown metric", found=name, allowed=ALLOWED, hint=nearest(base, FIXED_NAMES))
    kind, value = found["name"], float(found["value"])
    if kind == "fbeta" and not 0.0 < value < math.inf:
        raise refused("F-beta's beta is out of range", found=name, allowed="above 0")
    if kind != "fbeta" and not 0.0 < value <= 1.0:
        raise refused("the metric's floor is out of range", found=name, allowed="above 0, at most 1")
    return parametric_name(kind, value) + slash + one_class


MetricName = Annotated[str, AfterValidator(canonical_metric)]
"""A metric's name in a file: read in any spelling, held as evaluations spell it."""


def is_metric(name: str) -> bool:
    """Whether ``name`` names a metric; a ``/class`` suffix is allowed and not checked here."""
    try:
        canonical_metric(name)
    except ValueError:
        return False
    return True


def higher_is_better(name: str) -> bool:
    """Whether more of this metric is better. Only count errors are better when low."""
    return name.partition("/")[0] not in LOWER_IS_BETTER
