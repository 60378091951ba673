"""A user's own loss by import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.trainers.imports import load_object
from lossweep.trainers.losses.statistics import Statistics
from lossweep.trainers.losses.term import Term, build_term
from lossweep.trainers.maps.known import check_known


class ImportedTerm(Term):
    """Calls the user's loss with logits (N, K, H, W), float32, and target (N, H, W), int64, 255 ignored.

    One with an attribute ``maps``, names of `trainers.maps`, is called with a third argument of that name:
    (N, planes, H, W) each, by their names.
    """

    def __init__(self, criterion: Callable[..., Tensor], maps: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.maps = maps
        # A module is registered as a submodule by this, and moves to the device with the loss.
        self.criterion = criterion

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        asked = {name: found.maps[name] for name in self.maps} if found.maps is not None else {}
        target = found.target.long()
        value = (
            self.criterion(found.logits, target, maps=asked)
            if self.maps
            else self.criterion(found.logits, target)
        )
        if not isinstance(value, Tensor) or value.ndim != 0:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"an imported loss must return a scalar tensor, but got {got}")
        return value


def check_importable(loss: ImportedLoss) -> list[Problem]:
    """Say what is wrong with an imported loss without building it; an empty list when nothing is.

    Imports its module: from the working directory, PYTHONPATH or what is installed, as the workers will.
    """
    found = _resolve(loss)
    if isinstance(found, Problem):
        return [found]
    try:
        inspect.signature(found).bind(**loss.parameters)
    except TypeError as error:
        return [
            Problem(
                f"{loss.term} does not take these parameters: {error}",
                key="parameters",
                found=", ".join(loss.parameters) or "none",
                allowed=_accepted(found),
            )
        ]
    except ValueError:  # no signature to be had (some built-ins): calling it will tell
        pass
    return []


@build_term.register
def _imported(loss: ImportedLoss, prior: ClassPrior) -> Term:
    """Import and build a user's loss.

    Raises:
        UserError: it can't be imported, does not take its parameters, what it gives can't be called, or asks
            for maps that there are not.
    """
    if problems := check_importable(loss):
        raise UserError(problems)
    factory = _resolve(loss)
    assert callable(factory)  # checked just above
    criterion = factory(**loss.parameters)
    if not callable(criterion):
        raise UserError(
            Problem(
                f"{loss.term} did not return a loss",
                key="term",
                found=type(criterion).__name__,
                allowed="an nn.Module, or anything called with (logits, target)",
            )
        )
    maps = _maps_of(criterion if hasattr(criterion, "maps") else factory)
    check_known(maps, loss.term)
    return ImportedTerm(criterion, maps)


def _maps_of(asking: object) -> tuple[str, ...]:
    """The names in the attribute ``maps`` of a user's loss, or of what makes it."""
    names = getattr(asking, "maps", ())
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, Collection):
        raise UserError(
            Problem("maps must be names", key="maps", found=type(names).__name__, allowed='maps = ("cells",)')
        )
    return tuple(map(str, names))


def _resolve(loss: ImportedLoss) -> Callable[..., Any] | Problem:
    try:
        found = load_object(loss.term, "term")
    except UserError as error:
        return error.problems[0]
    if not callable(found):
        return Problem(
            f"{loss.term} can't be called",
            key="term",
            found=type(found).__name__,
            allowed="an nn.Module class or a factory",
        )
    resolved: Callable[..., Any] = found
    return resolved


def _accepted(factory: Callable[..., Any]) -> str:
    names = [name for name in inspect.signature(factory).parameters if name != "self"]
    return ", ".join(names) or "none"
