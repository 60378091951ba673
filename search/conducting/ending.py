"""How trials end, or wait, is written: to the study, to the samplers and to whoever compares trials."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.trial import TrialState

from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.roll import Roll
from lossweep.search.conducting.searching import Searching
from lossweep.search.conducting.settings import SearchSettings
from lossweep.search.conducting.violations import violations
from lossweep.search.study.journal import Journal
from lossweep.search.study.outcomes import Outcome, OutcomeKind, is_rejected
from lossweep.search.study.record import StudyRecord
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import Score, score


class Ending:
    """Writes how trials stand once they run no more.

    Args:
        settings: of the search, with its objective.
        record: the study.
        journal: what trials reported.
        roll: how each stands.
        judging: what compares them.
        search: what learns from them.
    """

    def __init__(
        self,
        settings: SearchSettings,
        record: StudyRecord,
        journal: Journal,
        roll: Roll,
        judging: Judging,
        search: Searching,
    ) -> None:
        self._objective = settings.objective
        self._record = record
        self._journal = journal
        self._roll = roll
        self._judging = judging
        self._search = search

    def report(self, number: int, evaluation: Evaluation) -> None:
        """Give Optuna the score so far, where it can take one: with one metric, once there is one."""
        so_far = self._score(number)
        if so_far is not None and len(so_far.values) == 1:
            self._record.report(number, evaluation.step, so_far.values[0])

    def interrupt(self, number: int, outcome: Outcome) -> None:
        """Let a running trial wait until it is taken up again."""
        self._record.interrupt(number, outcome)
        self._search.set_state(number, TrialState.WAITING)
        self._roll.kinds[number] = OutcomeKind.INTERRUPTED

    def pause(self, number: int, outcome: Outcome) -> None:
        """Let a running trial wait for what becomes of its peers; samplers learn from it as if pruned."""
        violated = self._violated(number, OutcomeKind.PRUNED, self._score(number))
        reported = self._record.trial(number).intermediate_values
        self._record.interrupt(number, outcome, violated)
        self._search.pause(number, reported, violated)
        self._judging.pause(number)
        self._roll.kinds[number] = OutcomeKind.PAUSED

    def finish(self, number: int, outcome: Outcome) -> None:
        """End a trial. A completed one without a value of the objective's metrics has failed, and says so."""
        scored = self._score(number)
        if outcome.kind is OutcomeKind.COMPLETED and scored is None:
            names = ", ".join(self._objective.names)
            outcome = Outcome(OutcomeKind.FAILED, f"no evaluation holds {names}")
        state = outcome.kind.optuna_state
        violated = self._violated(number, outcome.kind, scored)
        reported = self._record.trial(number).intermediate_values
        values = scored.values if scored and state is TrialState.COMPLETE else None
        if state is TrialState.PRUNED and reported:
            values = (reported[max(reported)],)  # as study.tell does
        self._record.finish(number, outcome, values, violated)
        self._search.finish(number, state, values, reported, violated)
        self._judging.unpause(number)
        self._roll.kinds[number] = outcome.kind
        if given_back(number, self._roll, self._journal):
            self._search.give_back()
        if outcome.kind is OutcomeKind.FAILED and number not in self._roll.outside:
            self._judging.forget(number)

    def _score(self, number: int) -> Score | None:
        return score(self._objective, self._journal.evaluations(number))

    def _violated(self, number: int, kind: OutcomeKind, scored: Score | None) -> Mapping[str, float]:
        outside = number in self._roll.outside
        return violations(self._objective, kind, scored, self._journal.evaluations(number), outside)


def given_back(number: int, roll: Roll, journal: Journal) -> bool:
    """Whether a trial has ended that is none of the budget's: a proposal rejected before training."""
    if roll.kinds[number] is not OutcomeKind.DIVERGED or number in roll.outside | roll.controls:
        return False
    return is_rejected(OutcomeKind.DIVERGED, journal.evaluations(number))
