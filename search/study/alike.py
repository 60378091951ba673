"""Losses that train the same way: on the rehearsal batch one has the other's gradient, times a factor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import dist
from typing import Final

from scipy.spatial import cKDTree

from lossweep.search.study.trial_history import TrialHistory
from lossweep.trainers.evaluation import RehearsedLoss

TOLERANCE: Final = 1e-3
"""Angle between two gradients, in radians, up to which they are the same: 0.1 % of either."""


@dataclass(frozen=True, slots=True)
class Alike:
    """A loss that had been tried before by another name.

    Attributes:
        loss: on one line.
        trial: number of the first trial that trained with the other.
        other: the other loss.
        factor: the loss's gradient is so many times the other's. Adam's steps do not depend on it.
    """

    loss: str
    trial: int
    other: str
    factor: float

    def __str__(self) -> str:
        times = "" if f"{self.factor:.3g}" == "1" else f" times {self.factor:.3g}"
        return f"{self.loss}: same gradient as {self.other} (#{self.trial}){times} on the rehearsal batch"


def rehearsed(trial: TrialHistory) -> tuple[RehearsedLoss, ...]:
    """The losses of a trial's schedule before training; none before its first evaluation."""
    return trial.evaluations[0].rehearsed if trial.evaluations else ()


def alike(trial: TrialHistory, trials: Iterable[TrialHistory]) -> tuple[Alike, ...]:
    """Return the losses of a trial that an earlier trial, or an earlier phase, trained with by another name.

    Args:
        trial: whose.
        trials: of its sweep, itself included.
    """
    found, own = [], rehearsed(trial)
    earlier = [t for t in sorted(trials, key=lambda t: t.number) if t.number < trial.number]
    known = [(other.number, loss) for other in earlier for loss in rehearsed(other)]
    for place, loss in enumerate(own):
        before = (*known, *((trial.number, other) for other in own[:place]))
        same = next(((n, other) for n, other in before if _same(loss, other)), None)
        if same is not None:
            number, other = same
            found.append(Alike(loss.loss, number, other.loss, loss.strength / other.strength))
    return tuple(found)


def all_alike(trials: Iterable[TrialHistory]) -> tuple[Alike, ...]:
    """Return each loss of a sweep that trains as one before it does, by the trials that had them first."""
    first: dict[str, tuple[int, RehearsedLoss]] = {}
    for trial in sorted(trials, key=lambda t: t.number):
        for loss in rehearsed(trial):
            if loss.sketch:
                first.setdefault(loss.loss, (trial.number, loss))
    known = list(first.values())
    if not known:
        return ()
    pairs = cKDTree([loss.sketch for _, loss in known]).query_pairs(TOLERANCE)
    before = {later: earlier for earlier, later in sorted(pairs, reverse=True)}
    return tuple(
        Alike(known[later][1].loss, known[earlier][0], known[earlier][1].loss, _factor(later, earlier, known))
        for later, earlier in sorted(before.items())
    )


def _factor(one: int, other: int, known: Sequence[tuple[int, RehearsedLoss]]) -> float:
    return known[one][1].strength / known[other][1].strength


def without_gradient(trial: TrialHistory, least: float = 1e-10) -> tuple[str, ...]:
    """Return the losses of a trial that have no gradient where models start; they may have one later on."""
    return tuple(one.loss for one in rehearsed(trial) if one.gradient is not None and one.gradient < least)


def _same(one: RehearsedLoss, other: RehearsedLoss) -> bool:
    if one.loss == other.loss or not one.sketch or not other.sketch:
        return False
    return dist(one.sketch, other.sketch) < TOLERANCE
