"""What many events come to: a listener that is behind writes once a trial, rather than once an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lossweep.search.study.events import (
    ConfirmationStarted,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import TrialHistory
from lossweep.trainers.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class SweepWrite:
    """An event of the sweep as a whole."""

    event: SweepStarted | ConfirmationStarted | SweepEnded
    events: int = 1


@dataclass(frozen=True, slots=True)
class TrialWrite:
    """What happened to one trial.

    Attributes:
        number: of the trial.
        started: as it started or went on, if it did.
        evaluations: since then.
        ended: as it ended, if it did: everything that is recorded of it.
        events: so many came to this.
    """

    number: int
    started: TrialHistory | None = None
    evaluations: tuple[Evaluation, ...] = ()
    ended: TrialHistory | None = None
    events: int = 0


@dataclass(frozen=True, slots=True)
class StandingWrite:
    """How the sweep stands, after trials of it ended."""

    events: int = 0


Write = SweepWrite | TrialWrite | StandingWrite


def gathered(events: Iterable[Event]) -> list[Write]:
    """Return the fewest writes that show what the events tell.

    Between two events of the whole sweep a trial is written once. Those that ended come first, for their
    figures are final; how the sweep stands comes after them.
    """
    writes: list[Write] = []
    trials: dict[int, TrialWrite] = {}
    for event in events:
        match event:
            case TrialStarted(trial):
                before = trials.get(trial.number, TrialWrite(trial.number))
                trials[trial.number] = TrialWrite(trial.number, started=trial, events=before.events + 1)
            case TrialEvaluated(number, evaluation, _):
                before = trials.get(number, TrialWrite(number))
                more = (*before.evaluations, evaluation)
                trials[number] = replace(before, evaluations=more, events=before.events + 1)
            case TrialEnded(trial):
                before = trials.get(trial.number, TrialWrite(trial.number))
                trials[trial.number] = replace(before, ended=trial, events=before.events + 1)
            case _:
                writes += _of_trials(trials.values())
                writes.append(SweepWrite(event))
                trials = {}
    return [*writes, *_of_trials(trials.values())]


def _of_trials(trials: Iterable[TrialWrite]) -> list[Write]:
    ended = [write for write in trials if write.ended is not None]
    others = [write for write in trials if write.ended is None]
    return [*ended, *([StandingWrite()] if ended else []), *others]
