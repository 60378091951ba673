"""The epochs of a sweep: gone through, trained, and what is left of them where the budget is refilled."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.trial_history import TrialHistory

CHARGED: Final = (OutcomeKind.RUNNING, OutcomeKind.INTERRUPTED, OutcomeKind.FAILED)
"""Trials that take all of their epochs of a refilled budget: those that may train them yet, and those that
failed and were not tried again, so that a sweep in which everything fails ends as soon as any other."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """The epochs of a sweep's trials.

    Attributes:
        requested: that the trials went through.
        trained: that were trained for it; the others are shared with trials that had trained them.
    """

    requested: int
    trained: int

    @classmethod
    def of(cls, trials: Collection[TrialHistory]) -> Epochs:
        """Count those of some trials."""
        return cls(sum(trial.epochs for trial in trials), sum(trial.trained_epochs for trial in trials))

    @property
    def shared(self) -> int:
        """That were trained by another trial before."""
        return self.requested - self.trained

    def __str__(self) -> str:
        return f"trained {self.trained} of {self.requested} requested epochs; {self.shared} shared"


def epochs_left(trials: int, epochs: int, trained: int, charged: Iterable[int], started: int) -> int:
    """Return what is left of the epochs of a search that refills its budget.

    Args:
        trials: that the budget has epochs for.
        epochs: of each of them.
        trained: epochs so far, shared ones left out.
        charged: how far each trial of `CHARGED` has come.
        started: trials so far. There are never more of them than epochs: whose schedule was trained before
            takes none.
    """
    if started >= trials * epochs:
        return 0
    return max(0, trials * epochs - trained - sum(epochs - done for done in charged))
