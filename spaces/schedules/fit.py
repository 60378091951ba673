"""What in a schedule does not fit the data's classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lossweep.spaces.files.errors import Problem, nearest
from lossweep.spaces.files.validation import rendered


def misfits(phases: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Iterator[Problem]:
    """Yield what doesn't fit the classes in phases as plain data, valid but for that.

    As data, because a `Compound` has its terms in the canonical order, and keys are to lead to where they
    were written.
    """
    for index, phase in enumerate(phases):
        at = f"phases[{index}]"
        yield from loss_misfits(phase["loss"], classes, f"{at}.loss")
        if phase.get("until") is not None:
            yield from metric_misfits(phase["until"]["metric"], classes, f"{at}.until.metric")


def loss_misfits(loss: Mapping[str, Any], classes: Sequence[str], key: str) -> Iterator[Problem]:
    """Yield what doesn't fit the classes: weights of another length. ``key`` is where the loss stands."""
    for index, part in enumerate(loss.get("sum", ())):
        yield from loss_misfits(part["loss"], classes, f"{key}.sum[{index}].loss")
    if (inner := loss.get("loss")) is not None:
        yield from loss_misfits(inner, classes, f"{key}.loss")
    weights = loss.get("weights")
    if isinstance(weights, list | tuple) and len(weights) != len(classes):
        yield Problem(
            f"{len(weights)} class weights for {len(classes)} classes",
            key=f"{key}.weights",
            found=rendered(list(weights)),
            allowed=f"one weight each for {', '.join(classes)}",
        )


def metric_misfits(metric: str, classes: Sequence[str], key: str) -> Iterator[Problem]:
    """Yield what doesn't fit the classes in a metric's name: the figure of an unknown class."""
    name = metric.partition("/")[2]
    foreground = tuple(classes[1:])
    if name and name not in foreground:
        yield Problem(
            f"metric of an unknown class {name!r}",
            key=key,
            found=metric,
            allowed=", ".join(foreground),
            hint=nearest(name, foreground),
        )
