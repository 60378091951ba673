"""A user's own loss by import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.losses.terms import ImportedLoss
from lossweep.trainers.imports import load_object
from lossweep.trainers.losses.statistics import Statistics
from lossweep.trainers.losses.term import Term, build_term


class ImportedTerm(Term):
    """Calls the user's loss with logits (N, K, H, W), float32, and target (N, H, W), int64, 255 ignored."""

    def __init__(self, criterion: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        # A module is registered as a submodule by this, and moves to the device with the loss.
        self.criterion = criterion

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        value = self.criterion(found.logits, found.target.long())
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
        UserError: it can't be imported, does not take its parameters, or what it gives can't be called.
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
    return ImportedTerm(criterion)


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
