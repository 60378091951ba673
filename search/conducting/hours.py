"""The wall-clock time of a sweep, summed over its drivers, and whether its budget of hours is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from optuna import Study

_STORED: Final = "seconds"
"""The attribute of the study that holds the seconds."""


class Hours:
    """Counts the seconds of this driver on top of those that earlier ones stored.

    Args:
        study: where they are stored.
        limit: the budget in hours; None for none.
        clock: seconds.
    """

    def __init__(self, study: Study, limit: float | None, clock: Callable[[], float]) -> None:
        self._study = study
        self._limit = limit
        self._clock = clock
        self._since = clock()
        self._before = float(study.user_attrs.get(_STORED, 0.0))
        self._stored = self._before

    @property
    def spent(self) -> float:
        """Seconds of this sweep's drivers: earlier ones as they stored it, this one up to now."""
        return self._before + self._clock() - self._since

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self._limit is not None and self.spent >= 3600.0 * self._limit

    def store(self, at_once: bool = False) -> None:
        """Write the seconds spent to where the next driver reads them, at most every half minute."""
        spent = self.spent
        if at_once or spent - self._stored > 30.0:
            self._study.set_user_attr(_STORED, spent)
            self._stored = spent
