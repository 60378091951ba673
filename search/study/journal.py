"""Where evaluations and decisions are written: in the study's database by the ledger, in memory by tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from lossweep.search.study.decisions import DecisionRecord
from lossweep.trainers.evaluation import Evaluation


class Journal(Protocol):
    """What the conductor needs written: evaluations by (trial, step), decisions in order of time.

    All writes are idempotent, so that a trial may re-emit its history after it was resumed.
    """

    def knows(self, number: int, step: int) -> bool:
        """Whether this trial and step already has an evaluation."""

    def record(self, number: int, evaluation: Evaluation, decision: DecisionRecord) -> None:
        """Write an evaluation and what was decided upon it: both, or neither."""

    def record_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Write an evaluation; False when this trial and step already has one, which is left alone."""

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Write a decision; the same action at the same step of a trial is written once."""

    def evaluations(self, number: int) -> Sequence[Evaluation]:
        """The trial's evaluations, in order of step."""

    def decisions(self, number: int) -> Sequence[DecisionRecord]:
        """The trial's decisions, in order of time."""


class MemoryJournal:
    """A journal that is forgotten with its process: for tests and simulations."""

    def __init__(self) -> None:
        self._evaluations: defaultdict[int, dict[int, Evaluation]] = defaultdict(dict)
        self._decisions: defaultdict[int, list[DecisionRecord]] = defaultdict(list)

    def knows(self, number: int, step: int) -> bool:
        """Whether there is an evaluation; see `Journal`."""
        return step in self._evaluations[number]

    def record(self, number: int, evaluation: Evaluation, decision: DecisionRecord) -> None:
        """Write both; see `Journal`."""
        self.record_evaluation(number, evaluation)
        self.record_decision(number, decision)

    def record_evaluation(self, number: int, evaluation: Evaluation) -> bool:
        """Write an evaluation; see `Journal`."""
        if evaluation.step in self._evaluations[number]:
            return False
        self._evaluations[number][evaluation.step] = evaluation
        return True

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Write a decision; see `Journal`."""
        written = self._decisions[number]
        if not any((d.step, d.action) == (decision.step, decision.action) for d in written):
            written.append(decision)

    def evaluations(self, number: int) -> tuple[Evaluation, ...]:
        """The trial's evaluations; see `Journal`."""
        return tuple(e for _, e in sorted(self._evaluations[number].items()))

    def decisions(self, number: int) -> tuple[DecisionRecord, ...]:
        """The trial's decisions; see `Journal`."""
        return tuple(self._decisions[number])
