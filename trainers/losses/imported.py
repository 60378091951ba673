"""A user's own loss by import path."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable
from typing import Any

from torch import Tensor

from spaces.errors import Problem, UserError, nearest
from spaces.loss_terms import ImportedLoss
from trainers.losses.segmentation_loss import Term
from trainers.losses.statistics import Statistics


class ImportedTerm(Term):
    """Calls the user's loss with logits (N, K, H, W), float32, and target (N, H, W), int64, 255 ignored."""

    def __init__(self, criterion: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        # A module is registered as a submodule by this, and moves to the device with the loss.
        self.criterion = criterion

    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar."""
        value: Tensor = self.criterion(found.logits, found.target.long())
        if value.ndim != 0:
            raise UserError(
                f"an imported loss must return a scalar, but got {tuple(value.shape)} from {self.criterion}"
            )
        return value


def check_importable(loss: ImportedLoss) -> list[Problem]:
    """Say what is wrong with an imported loss without building it; an empty list when nothing is.

    Imports its module, so the sweep file's folder must be importable, as it must be for the workers.
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


def build_imported(loss: ImportedLoss) -> ImportedTerm:
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
    module_name, _, name = loss.term.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        line = traceback.format_exception_only(error)[-1].strip()
        return Problem(
            f"module {module_name} can't be imported ({line})",
            key="term",
            found=loss.term,
            hint="is its folder on PYTHONPATH?" if isinstance(error, ModuleNotFoundError) else None,
        )
    found = getattr(module, name, None)
    if found is None:
        return Problem(
            f"module {module_name} has no {name}",
            key="term",
            found=loss.term,
            hint=nearest(name, dir(module)),
        )
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
