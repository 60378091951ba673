"""The epochs of a search that refills its budget: those trained, and those that open trials may yet train."""

from __future__ import annotations

from lossweep.search.conducting.roll import Roll
from lossweep.search.study.epochs import CHARGED, epochs_left
from lossweep.search.study.journal import Journal
from lossweep.trainers.evaluation import Evaluation


class EpochBudget:
    """Counts the epochs that the trials of a search have trained; shared ones cost nothing.

    Args:
        roll: how each trial stands.
        journal: what trials have reported so far.
        trials: how many the budget has epochs for.
        epochs: that each of them may train.
    """

    def __init__(self, roll: Roll, journal: Journal, trials: int, epochs: int) -> None:
        self._roll = roll
        self._epochs = epochs
        self._trials = trials
        self._done: dict[int, int] = {}
        self._trained = 0
        self._forgiven: set[int] = set()
        for number in roll.searched:
            for evaluation in journal.evaluations(number):
                self.takes(number, evaluation)

    def takes(self, number: int, evaluation: Evaluation) -> None:
        """A trial has come so far; what it has said before counts once."""
        epochs = evaluation.epoch - self._done.get(number, 0)
        if number not in self._roll.outside and epochs > 0:
            self._done[number] = evaluation.epoch
            self._trained += epochs if evaluation.trained_by is None else 0

    def forgive(self, number: int) -> None:
        """A failed trial was tried again: the other one has its epochs."""
        self._forgiven.add(number)

    @property
    def over(self) -> bool:
        """Whether no epoch is left that no open trial may come to train."""
        searched = self._roll.searched
        kinds, done = self._roll.kinds, self._done
        charged = [done.get(n, 0) for n in searched if kinds[n] in CHARGED and n not in self._forgiven]
        return not epochs_left(self._trials, self._epochs, self._trained, charged, len(searched))
