"""Paused trials: which of them goes on, now that more of its peers are known, and how the others end."""

from __future__ import annotations

from collections import deque

from lossweep.search.conducting.ending import Ending
from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.roll import Roll
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.journal import Journal
from lossweep.search.study.outcomes import Outcome, OutcomeKind


class Pausing:
    """Takes paused trials up again, or ends them.

    What becomes of a paused trial is written as a decision before it is done, so that a driver which dies in
    between is followed by one that does the same.

    Args:
        journal: what was decided so far.
        roll: how each trial stands.
        judging: compares a paused trial with its peers of now.
        ending: writes how it ends.
    """

    def __init__(self, journal: Journal, roll: Roll, judging: Judging, ending: Ending) -> None:
        self._journal = journal
        self._roll = roll
        self._judging = judging
        self._ending = ending
        self._thawed = deque(n for n in roll.paused if self._newest(n).action is Decision.THAW)
        for number in roll.paused:
            judging.pause(number)

    @property
    def next(self) -> int | None:
        """The paused trial that its rule would let go on now, the one that came furthest first; or None."""
        while self._thawed and not self._is_thawed(self._thawed[0]):
            self._thawed.popleft()
        return self._thawed[0] if self._thawed else self._judging.next_to_thaw()

    def thaw(self, number: int) -> None:
        """Write that a paused trial goes on, and why."""
        if not self._is_thawed(number):
            self._journal.record_decision(number, self._judging.reconsidered(number))

    def end(self, number: int, why: str) -> None:
        """End a paused trial as pruned: it was no better than its peers to the end.

        Args:
            number: of the trial.
            why: it is let wait no longer, if not for its peers.
        """
        decision = self._newest(number)
        if decision.action is not Decision.PRUNE:
            now = self._judging.reconsidered(number)
            reason = f"{now.reason}; paused {why or 'to the end of the search'}"
            decision = DecisionRecord(now.step, Decision.PRUNE, reason, now.figures)
            self._journal.record_decision(number, decision)
        self._ending.finish(number, Outcome(OutcomeKind.PRUNED, decision.reason, decision.figures))

    def end_given_up(self) -> None:
        """End what a dead driver had decided to end."""
        for number in self._roll.paused:
            if self._newest(number).action is Decision.PRUNE:
                self.end(number, "")

    def _is_thawed(self, number: int) -> bool:
        """Whether a trial is to go on by a decision that is written, and is paused as yet."""
        paused = self._roll.kinds[number] is OutcomeKind.PAUSED
        return paused and self._newest(number).action is Decision.THAW

    def _newest(self, number: int) -> DecisionRecord:
        """The decision a paused trial stands by; the dispatcher's retries are none."""
        taken = self._journal.decisions(number)
        return next(each for each in reversed(taken) if each.action is not Decision.RETRY)
