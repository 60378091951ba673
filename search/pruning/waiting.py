"""The paused trials of a pruner, by where they wait: which of them are worth judging again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from lossweep.search.pruning.curves import Curve

Place = tuple[str, float]
"""A group of trials that are compared, and the share of the budget at which a trial of it waits."""


class Waiting:
    """Finds the paused trial that may go on, without judging all of them at every turn.

    Of those that wait at one share, a rule that ranks by running bests lets the best one go on first, and
    none if not that one. And what it says changes only as another trial comes to that share, or is left out.
    """

    def __init__(self) -> None:
        self._curves: defaultdict[Place, dict[int, Curve]] = defaultdict(dict)
        self._places: dict[int, Place] = {}
        self._unsettled: set[Place] = set()

    def add(self, group: str, curve: Curve) -> None:
        """Let a trial wait where its curve ends."""
        place = group, curve.share
        self._places[curve.number] = place
        self._curves[place][curve.number] = curve
        self._unsettled.add(place)

    def discard(self, number: int) -> None:
        """Let a trial wait no longer, if it does."""
        place = self._places.pop(number, None)
        if place is None:
            return
        del self._curves[place][number]
        if not self._curves[place]:
            del self._curves[place]
            self._unsettled.discard(place)

    def came(self, group: str, before: float, after: float) -> None:
        """Take note that a trial of a group has come from one share of its budget to another."""
        self._unsettled |= {at for at in self._curves if at[0] == group and before < at[1] <= after}

    def left_out(self, group: str) -> None:
        """Take note that a trial is compared with its group no more."""
        self._unsettled |= {at for at in self._curves if at[0] == group}

    def next(self, goes_on: Callable[[int], bool]) -> int | None:
        """Return the trial to go on: of those that came furthest, the best; None when all stay.

        Args:
            goes_on: judges a trial of this number anew.
        """
        for place in sorted(self._unsettled, key=lambda place: (-place[1], place[0])):
            waiting = self._curves[place].values()
            best = min(waiting, key=lambda curve: (-curve.bests[-1], curve.number)).number
            if goes_on(best):
                return best
            self._unsettled.discard(place)
        return None
