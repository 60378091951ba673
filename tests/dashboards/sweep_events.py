"""A sweep made by hand, told as its driver tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import (
    ConfirmationStarted,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.trial_history import TrialHistory

GO_ON = DecisionRecord(0, Decision.CONTINUE, "")


def events(sweep: SweepHistory) -> list[Event]:
    """The events of a sweep run from its start by one driver, its confirmation after its search."""
    told: list[Event] = [SweepStarted(replace(sweep, trials=(), state="running", confirmation=None))]
    for trial in sweep.trials:
        told += _trial(trial)
    if sweep.confirmation is not None:
        told.append(ConfirmationStarted(replace(sweep.confirmation, trials=())))
        for trial in sweep.confirmation.trials:
            told += _trial(trial)
    return [*told, SweepEnded(sweep)]


def _trial(trial: TrialHistory) -> Iterator[Event]:
    begun = replace(
        trial, evaluations=(), outcome=OutcomeKind.RUNNING, score=None, ended=None, reason="", traceback=""
    )
    yield TrialStarted(begun)
    yield from (TrialEvaluated(trial.number, evaluation, GO_ON) for evaluation in trial.evaluations)
    if trial.outcome is not OutcomeKind.RUNNING:
        yield TrialEnded(trial)
