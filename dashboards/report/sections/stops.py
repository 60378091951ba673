"""What was stopped, when, by which rule and why, and how often the pruner was wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from lossweep.dashboards.numbers import MISSING, number
from lossweep.dashboards.report.plots.stopped import stop_rule, stop_step
from lossweep.dashboards.report.sections.cells import ScheduleCell, Tag
from lossweep.dashboards.result import stopped
from lossweep.search.pruning import audit, spared
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind

_ORDER: Final = {OutcomeKind.FAILED: 0, OutcomeKind.DIVERGED: 1, OutcomeKind.PRUNED: 2}


@dataclass(frozen=True, slots=True)
class StoppedRow:
    """One trial that was stopped.

    Attributes:
        number: of the trial.
        outcome: how it ended.
        rule: what ended it.
        step: the optimizer step, in words.
        reason: why, in its own sentence.
        schedule: its schedule.
    """

    number: int
    outcome: Tag
    rule: str
    step: str
    reason: str
    schedule: ScheduleCell


@dataclass(frozen=True, slots=True)
class SparedTrial:
    """A trial that was let go on as a test of the pruner; its tag says how it ended."""

    number: int
    tag: Tag


@dataclass(frozen=True, slots=True)
class PrunerAudit:
    """How often the pruner would have been wrong.

    Attributes:
        sentence: in words.
        spared: the trials on which it was tested.
    """

    sentence: str
    spared: tuple[SparedTrial, ...]


@dataclass(frozen=True, slots=True)
class Stops:
    """What was stopped.

    Attributes:
        tally: how many by which rule, the commonest first.
        rows: one a trial, failures first.
        audit: None when nothing was pruned or spared.
    """

    tally: tuple[Tag, ...]
    rows: tuple[StoppedRow, ...]
    audit: PrunerAudit | None


def stops(history: SweepHistory) -> Stops:
    """Return what was stopped, and by what."""
    trials = stopped(history)
    tally = Counter((trial.outcome.value, stop_rule(trial)) for trial in trials)
    return Stops(
        tally=tuple(
            Tag(outcome, outcome if rule in ("pruner", "error") else f"{outcome}: {rule}", count)
            for (outcome, rule), count in tally.most_common()
        ),
        rows=tuple(_row(trial) for trial in sorted(trials, key=lambda t: (_ORDER[t.outcome], t.number))),
        audit=_audit(history),
    )


def _row(trial: TrialHistory) -> StoppedRow:
    step = stop_step(trial)
    return StoppedRow(
        number=trial.number,
        outcome=Tag(trial.outcome.value, trial.outcome.value),
        rule=stop_rule(trial),
        step=MISSING if step is None else str(step),
        reason=trial.reason,
        schedule=ScheduleCell.of(trial),
    )


def _audit(history: SweepHistory) -> PrunerAudit | None:
    found = audit(history)
    if not found.pruned and not found.spared:
        return None
    tested = tuple(
        SparedTrial(trial.number, Tag(trial.outcome.value, f"{trial.outcome.value} {number(trial.score)}"))
        for trial in history.trials
        if spared(trial)
    )
    return PrunerAudit(str(found), tested)
