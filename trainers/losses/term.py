"""One loss over the statistics that all terms of a sum share, and how it is built from its data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import singledispatch

import torch
from torch import Tensor, nn

from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.losses.terms import Frozen
from lossweep.trainers.losses.statistics import Needs, Statistics


class Term(nn.Module):
    """One loss over the shared statistics. Its parameters are buffers: changing them never recompiles."""

    needs = Needs()
    maps: tuple[str, ...] = ()
    """Names of what it reads in `Statistics.maps` (`trainers.maps`)."""

    def constant(self, name: str, values: float | Iterable[float] | Tensor) -> None:
        """Register a parameter of the loss as a float64 buffer that stays out of the state dict."""
        tensor = values if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float64)
        self.register_buffer(name, tensor.to(torch.float64), persistent=False)

    @abstractmethod
    def forward(self, found: Statistics) -> Tensor:
        """Return the loss as a scalar in the statistics' dtype."""


class PixelTerm(Term):
    """One that is a mean over pixels, so that it can also be one over some of them."""

    @abstractmethod
    def per_pixel(self, found: Statistics) -> tuple[Tensor, Tensor]:
        """Return what each pixel adds and by what it is divided, (N, H, W) each, 0 at ignored pixels.

        The loss is the ratio of their sums. Reads the log-probability of the true class (`Needs.likelihood`).
        """


@singledispatch
def build_term(loss: Frozen, prior: ClassPrior) -> Term:
    """Build a term from its data. Each family registers its own: ``@build_term.register``.

    Args:
        loss: a term, not a sum; its type says which family builds it.
        prior: the classes and their frequencies.

    Raises:
        UserError: class weights that do not fit the classes, or a user's loss that can't be built.
    """
    raise TypeError(f"no file of trainers.losses.families builds {type(loss).__name__}")


def ratio(total: Tensor, amount: Tensor) -> Tensor:
    """Divide, giving 0 (with a gradient of 0) where there is nothing to divide by."""
    return total / torch.where(amount > 0, amount, torch.ones_like(amount))
