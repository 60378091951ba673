"""What is decided upon an evaluation: the guard's word first, then the pruner's, among trials of one kind."""

from __future__ import annotations

from typing import Final

from optuna.trial import FrozenTrial

from lossweep.search.conducting.settings import SearchSettings
from lossweep.search.pruning import Pruner
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.journal import Journal
from lossweep.search.study.outcomes import Outcome
from lossweep.search.study.record import CONFIRMS, CONTROL, EXTENDS, schedule_of
from lossweep.spaces.schedules.controls import PLAIN
from lossweep.trainers.evaluation import Evaluation

_NEVER_PRUNED: Final = {"confirmations": "a confirmation", "extensions": "an extension"}


class Judging:
    """Decides whether trials go on.

    Args:
        settings: of the search, with its pruner.
        journal: what trials reported and what was decided so far.
    """

    def __init__(self, settings: SearchSettings, journal: Journal) -> None:
        self._pruner = Pruner(settings.pruning, settings.objective.pilot, settings.seed)
        self._searched_control = settings.control_search is not None
        self._journal = journal

    def add(self, trial: FrozenTrial) -> None:
        """Let it be compared: the searched controls with one another, never with the proposals."""
        if trial.user_attrs.keys() & {CONFIRMS, EXTENDS}:
            return
        control = trial.user_attrs.get(CONTROL)
        searched = control == PLAIN and self._searched_control
        self._pruner.add_trial(
            trial.number,
            schedule_of(trial),
            exempt=control is not None and not searched,
            evaluations=self._journal.evaluations(trial.number),
            group=PLAIN if searched else "",
        )

    def forget(self, number: int) -> None:
        """Compare a failed trial with no other any more: its curve says nothing of its schedule."""
        self._pruner.forget(number)

    def pause(self, number: int) -> None:
        """Let a trial wait for what becomes of its peers."""
        self._pruner.pause(number)

    def unpause(self, number: int) -> None:
        """It waits no longer, if it did: it goes on, or has ended."""
        self._pruner.unpause(number)

    def next_to_thaw(self) -> int | None:
        """The paused trial that would be let go on now, the one that came furthest first; None for none."""
        return self._pruner.next_to_thaw()

    def reconsidered(self, number: int) -> DecisionRecord:
        """Judge a paused trial against its peers of now: whether it is thawed, or stays worse."""
        return self._pruner.reconsider(number, self._journal.evaluations(number)[-1].step)

    def taken_at(self, number: int, step: int) -> DecisionRecord | None:
        """The decision that stands upon an evaluation; the dispatcher's retries are none of those."""
        taken = reversed(self._journal.decisions(number))
        return next((d for d in taken if d.step == step and d.action is not Decision.RETRY), None)

    def decide(
        self, number: int, evaluation: Evaluation, diverged: Outcome | None, group: str
    ) -> DecisionRecord:
        """Decide upon a trial's newest evaluation.

        Args:
            number: of the trial.
            evaluation: what it reported.
            diverged: how it ends by a guard's verdict, if one was given.
            group: what trials of its kind are called: those that are none of the search are never pruned.
        """
        outside = _NEVER_PRUNED.get(group)
        if diverged is not None:
            if outside is None:
                self._pruner.take(number, evaluation)  # as the next driver will read it
            figures = evaluation.verdict.figures if evaluation.verdict else {}
            return DecisionRecord(evaluation.step, Decision.DIVERGE, diverged.reason, figures)
        if outside is not None:
            return DecisionRecord(evaluation.step, Decision.CONTINUE, f"{outside} is never pruned")
        decision = self._pruner.decide(number, evaluation)
        if evaluation.finished and decision.action is not Decision.CONTINUE:
            reason = "trained its whole budget"
            return DecisionRecord(evaluation.step, Decision.CONTINUE, reason, decision.figures)
        return decision
