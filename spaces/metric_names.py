"""The names of the validation metrics: what an ``until``, an objective or a pruner may refer to.

Those of `spaces.metrics`, each also as ``NAME/CLASS`` for one class, and a user's own function by import
path. A name tells all that has to be known of its metric, so that a schedule, a database or a table can be
read without importing what computes it: where less of a user's own metric is better, its name ends with
``:minimize``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator

from lossweep.spaces.files.errors import nearest, refused
from lossweep.spaces.metrics import FAMILIES, METRICS, Direction, Group, Metric, of_groups


def _names(*groups: Group) -> tuple[str, ...]:
    return tuple(metric.name for metric in of_groups(*groups))


PIXEL: Final = _names("pixel")
TUNED: Final = _names("tuned")
CURVE: Final = _names("curve")
OBJECT: Final = _names("object")
TUNED_OBJECT: Final = _names("tuned_object")
LOWER_IS_BETTER: Final = tuple(metric.name for metric in METRICS if metric.direction == "minimize")
FIXED_NAMES: Final = tuple(metric.name for metric in METRICS)
PARAMETRIC: Final = re.compile(
    rf"(?P<name>{'|'.join(family.name for family in FAMILIES)})_(?P<value>\d+(?:\.\d+)?)"
)
OWN: Final = re.compile(
    r"(?P<path>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:(?P<name>[A-Za-z_]\w*))(?::(?P<direction>maximize|minimize))?"
)
"""``package.module:name``, a user's own metric; ``package.module:name:minimize`` where less is better."""

ALLOWED: Final = ", ".join((*FIXED_NAMES, *(family.spelling for family in FAMILIES), "package.module:name"))
"""The metric names as an error message lists them."""

_FIXED: Final = {metric.name: metric for metric in METRICS}
_FAMILIES: Final = {family.name: family for family in FAMILIES}


def parametric_name(name: str, value: float) -> str:
    """Return a metric's name with its parameter in decimals: ``recall_at_precision_0.2``, ``fbeta_2``."""
    return f"{name}_{Decimal(repr(float(value))).normalize():f}"


def canonical_metric(name: str) -> str:
    """Return a metric's name as evaluations spell it: ``fbeta_2.0`` is ``fbeta_2``.

    A ``/class`` suffix is allowed but for a user's own metric, kept, and not checked here.

    Raises:
        ValueError: no metric is called so, or its parameter is out of range.
    """
    base, slash, one_class = name.partition("/")
    if base in _FIXED:
        return name
    if ":" in base:
        return own_metric(name)
    found = PARAMETRIC.fullmatch(base)
    if found is None:
        raise refused("unknown metric", found=name, allowed=ALLOWED, hint=nearest(base, FIXED_NAMES))
    kind, value = found["name"], float(found["value"])
    parameter = _FAMILIES[kind].parameter
    if parameter is not None and not parameter.holds(value):
        raise refused(f"{parameter.words} is out of range", found=name, allowed=parameter.allowed)
    return parametric_name(kind, value) + slash + one_class


def own_metric(name: str) -> str:
    """Return a user's own metric as evaluations spell it: without ``:maximize``, which is understood.

    Raises:
        ValueError: it is no import path, or has a ``/class`` suffix.
    """
    found = OWN.fullmatch(name)
    if found is None:
        message = "one's own metric is of all classes" if "/" in name else "is not a metric's import path"
        raise refused(message, found=name, allowed="package.module:name, package.module:name:minimize")
    return name.removesuffix(":maximize")


MetricName = Annotated[str, AfterValidator(canonical_metric)]
"""A metric's name in a file: read in any spelling, held as evaluations spell it."""

OwnMetricName = Annotated[str, AfterValidator(own_metric)]
"""The name of a user's own metric in a file."""


def metric_of(name: str) -> Metric | None:
    """Return the record of a metric, of a family or a user's own made for it; None when none is called so.

    A ``/class`` suffix is allowed and not looked at.
    """
    base = name.partition("/")[0]
    if base in _FIXED:
        return _FIXED[base]
    if found := PARAMETRIC.fullmatch(base):
        family = _FAMILIES[found["name"]]
        return replace(family, name=base, noun=f"{family.noun} {found['value']}")
    if found := OWN.fullmatch(base):
        called = found["name"].replace("_", " ")
        direction: Direction = "minimize" if found["direction"] == "minimize" else "maximize"
        return Metric(base, "own", "tuned", called, called, "a user's own", direction)
    return None


def is_metric(name: str) -> bool:
    """Whether ``name`` names a metric; a ``/class`` suffix is allowed and not checked here."""
    try:
        canonical_metric(name)
    except ValueError:
        return False
    return True


def higher_is_better(name: str) -> bool:
    """Whether more of this metric is better: of all but count errors and one's own that say otherwise."""
    metric = metric_of(name)
    return metric is None or metric.direction == "maximize"
