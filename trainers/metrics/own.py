"""A user's own metric by import path: checked before training, computed from the images of an evaluation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from lossweep.spaces.class_prior import IGNORE_INDEX, ClassPrior
from lossweep.spaces.files.errors import Problem, UserError
from lossweep.spaces.metric_names import OWN, higher_is_better
from lossweep.spaces.metrics import Direction
from lossweep.trainers.imports import load_object

Mask = NDArray[np.uint8]
"""(H, W) class indices; in the truth 255 is unknown."""

_LARGEST: Final = 256
"""Side of a made-up image: a metric may well take minutes for the noise in a larger one."""

ALLOWED = "called with pairs of (truth, prediction), (H, W) uint8 each, it returns a finite number"


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric that a user wrote.

    Attributes:
        name: as evaluations spell it.
        function: called with the pairs of (truth, prediction) of a whole split.
    """

    name: str
    function: Callable[[Iterable[tuple[Mask, Mask]]], float]

    @classmethod
    def load(cls, name: str) -> OwnMetric:
        """Import it; a class is made an object of.

        Raises:
            UserError: it can't be imported or called, or declares another direction than its name does.
        """
        found = OWN.fullmatch(name)
        if found is None:
            raise UserError(
                Problem("is not a metric's import path", found=name, allowed="package.module:name")
            )
        path = found["path"]
        function = load_object(path, "")
        if inspect.isclass(function):
            try:
                function = function()
            except Exception as error:  # a user's code may raise anything
                raise _failed(name, f"making it raised {type(error).__name__}: {error}") from error
        if not callable(function):
            raise _failed(name, "can't be called")
        told = "maximize" if higher_is_better(name) else "minimize"
        declared = getattr(function, "direction", told)
        if declared not in get_args(Direction):
            raise _failed(name, f"declares the direction {declared!r}: it is maximize or minimize")
        if declared != told:
            hint = f"name it {path if declared == 'maximize' else f'{path}:minimize'}"
            raise UserError(
                Problem(f"declares the direction {declared}, its name {told}", found=name, hint=hint)
            )
        return cls(name, function)

    def __call__(self, images: Iterable[tuple[Mask, Mask]]) -> float:
        """Return its value over a split.

        Raises:
            UserError: it raised an error, or what it returned is no finite number.
        """
        try:
            value = float(self.function(images))
        except Exception as error:  # a user's code may raise anything
            raise _failed(self.name, f"computing it raised {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise _failed(self.name, f"its value is {value}")
        return value


def check_own_metric(name: str) -> tuple[Problem, ...]:
    """Say what is wrong with a user's own metric before it is computed; nothing when nothing is."""
    try:
        OwnMetric.load(name)
    except UserError as error:
        return error.problems
    return ()


def rehearse_own_metric(
    name: str, prior: ClassPrior, tile: int = 64, sizes: Iterable[tuple[int, int]] = ()
) -> tuple[Problem, ...]:
    """Say what is wrong with a user's own metric: import it, and compute it on two made-up images.

    They hold every class in truth and prediction, and some unknown pixels. They are no larger than 256
    pixels a side, but as oblong and as unlike as the images that will be evaluated.

    Args:
        name: of the metric.
        prior: the classes.
        tile: side of the images, in pixels, where no sizes are given.
        sizes: (height, width) of the images that will be evaluated.
    """
    shapes = sorted({(min(height, _LARGEST), min(width, _LARGEST)) for height, width in sizes})
    shapes = shapes or [(tile, tile)]
    random = np.random.default_rng(0)
    pairs = []
    for shape in (shapes[0], shapes[-1]):
        truth, prediction = random.integers(len(prior.names), size=(2, *shape)).astype(np.uint8)
        truth[0] = IGNORE_INDEX
        pairs.append((truth, prediction))
    try:
        OwnMetric.load(name)(iter(pairs))
    except UserError as error:
        return error.problems
    return ()


def _failed(name: str, message: str) -> UserError:
    first, *_ = message.strip().splitlines()
    return UserError(Problem(first[:300], found=name, allowed=ALLOWED))
