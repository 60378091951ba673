"""How many trials of how many epochs so many hours hold, at the pace that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_LADDER: Final = ((60, 96), (40, 64), (30, 48), (20, 32), (16, 24), (12, 16), (8, 12), (6, 10), (4, 8))
"""Epochs, and the trials that they have to leave room for."""
_MOST_TRIALS: Final = 256
_PRUNED: Final = 0.7
"""Of its epochs that a trial trains on average: the pruner stops the hopeless ones."""
_ARMS: Final = {0: 0, 1: 4, 3: 10}
"""By leaders confirmed: schedules trained, which are these, what they are made of, and the control."""
_SEEDS: Final = 5
_CONFIRMED_FROM: Final = 12
"""Epochs: what is learned in fewer says little of any schedule."""
_START_S: Final = 25.0
"""Until the first worker trains."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured of one trial.

    Attributes:
        images_per_second: crops trained.
        evaluation_s: of one evaluation.
    """

    images_per_second: float
    evaluation_s: float


@dataclass(frozen=True, slots=True)
class Budget:
    """What a sweep spends.

    Attributes:
        crops: of each image in an epoch.
        trials: of the search.
        epochs: of each.
        top: leaders that are confirmed; 0: none.
        epoch_s: seconds of an epoch.
        hours: that all of it takes, about.
    """

    crops: int
    trials: int
    epochs: int
    top: int
    epoch_s: float
    hours: float

    @property
    def confirm(self) -> dict[str, Any] | None:
        """What stands under ``confirm:``."""
        return {"top": self.top, "seeds": _SEEDS} if self.top else None


def plan(
    hours: float, pace: Pace, images: int, batch: int, covering: int, slots: int, testable: bool
) -> Budget:
    """Choose crops, epochs and trials.

    Args:
        hours: that it may take.
        pace: of a trial.
        images: that train.
        batch: images of a step.
        covering: crops that cover an image once.
        slots: trials side by side.
        testable: whether there is a test split to confirm on.
    """
    seconds = max(1.0, 3600.0 * hours - _START_S) * slots
    fitting = list[Budget]()
    for crops in _crops(covering):
        epoch_s = max(1, images * crops // batch) * batch / pace.images_per_second + pace.evaluation_s
        for epochs, least in _LADDER:
            tops = (3, 1, 0) if testable and epochs >= _CONFIRMED_FROM else (0,)
            for top in tops:
                confirming = _ARMS[top] * _SEEDS * epochs * epoch_s
                trials = int((seconds - confirming) / (_PRUNED * epochs * epoch_s))
                if trials >= least * (2 if top == 3 else 1):
                    trials = min(trials, _MOST_TRIALS)
                    spent = (_PRUNED * trials * epochs * epoch_s + confirming) / slots + _START_S
                    fitting.append(Budget(crops, trials, epochs, top, epoch_s, spent / 3600.0))
    if fitting:
        # Enough epochs first, then a confirmation, then more of each image.
        return max(fitting, key=lambda each: (min(each.epochs, 12), each.top > 0, each.crops, each.epochs))
    epochs, trials = _LADDER[-1]
    epoch_s = max(1, images // batch) * batch / pace.images_per_second + pace.evaluation_s
    spent = _PRUNED * trials * epochs * epoch_s / slots + _START_S
    return Budget(1, trials, epochs, 0, epoch_s, spent / 3600.0)


def _crops(covering: int) -> Iterator[int]:
    """From all that covers an image down to one, by halves."""
    crops = min(covering, 64)
    while crops > 1:
        yield crops
        crops //= 2
    yield 1
