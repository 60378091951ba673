"""How often the pruner would have been wrong, by the trials it wanted to end but had to let go on."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Final

from lossweep.search.study.decisions import Decision
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind

FEW: Final = 20
"""Fewer judged trials than these are said to be few."""

_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class PrunerAudit:
    """The audit of a sweep's pruner; as text, what a person is told of it.

    Attributes:
        pruned: trials it ended, at once or once they had waited to the end.
        spared: trials it wanted to end and that were let go on.
        finished: spared trials that used their whole budget: those that can be judged.
        wrong: finished ones that ended at or above the median of the proposals it let through on its own.
        winners: finished ones that beat the best of those.
        peers: proposals that it let through on its own and that used their whole budget.
        thawed: trials it paused and let go on later.
    """

    pruned: int
    spared: int
    finished: int
    wrong: int
    winners: int
    peers: int
    thawed: int = 0

    @property
    def error_rate(self) -> float | None:
        """The share of judged decisions that were wrong; None when none can be judged."""
        return self.wrong / self.finished if self.finished and self.peers else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the true share lies with 95 % confidence: Wilson's score interval (1927)."""
        rate, count = self.error_rate, self.finished
        if rate is None:
            return None
        shrink = 1.0 + _Z**2 / count
        center = (rate + _Z**2 / (2 * count)) / shrink
        half = _Z * math.sqrt(rate * (1.0 - rate) / count + _Z**2 / (4 * count**2)) / shrink
        return max(0.0, center - half), min(1.0, center + half)

    def __str__(self) -> str:
        if not self.pruned and not self.spared:
            return "The pruner wanted no trial ended."
        unknown = "how often it is wrong is not known"
        ended = f"The pruner ended {_count(self.pruned, 'trial')}."
        if self.thawed:
            ended = f"{ended[:-1]}, and let {self.thawed} that it had paused go on after all."
        if not self.spared:
            return f"{ended} None that it wanted ended was let go on as a test, so {unknown}."
        tested = f"{ended} Of {self.spared} more that it wanted ended and that went on as a test of it"
        if not self.finished:
            return f"{tested}, none has completed, so {unknown}."
        if self.interval is None:
            return f"{tested}, {self.finished} completed; no proposal that it let through has, so {unknown}."
        low, high = self.interval
        few = f"{_count(self.finished, 'trial')} can tell little: " if self.finished < FEW else ""
        return (
            f"{tested}, {self.finished} completed, and it was wrong about {self.wrong or 'none'} of them "
            f"({self.error_rate:.0%}). Wrong means: as good in the end as the median of the "
            f"{_count(self.peers, 'proposal')} it let through, or better; "
            f"{self.winners or 'none'} would have won. "
            f"{few}{'T' if not few else 't'}he true share may lie anywhere from {low:.0%} to {high:.0%} "
            "(95% confidence), and ending trials by lot is wrong about half the time."
        )


def audit(history: SweepHistory) -> PrunerAudit:
    """Return how often the pruner would have been wrong, by the trials it spared."""
    sign = 1.0 if history.direction == "maximize" else -1.0
    proposals = [trial for trial in history.trials if trial.control is None]
    done = [t for t in proposals if t.outcome is OutcomeKind.COMPLETED and t.score is not None]
    passed = [trial for trial in done if not spared(trial)]
    constrained = any(trial.feasible for trial in passed)

    def value(trial: TrialHistory) -> float:
        # Where the constraints can be met, a trial that misses them is worse than any that does not.
        return -math.inf if constrained and not trial.feasible else sign * (trial.score or 0.0)

    judged = [value(trial) for trial in done if spared(trial)]
    standard = [value(trial) for trial in passed]
    return PrunerAudit(
        pruned=sum(trial.outcome is OutcomeKind.PRUNED for trial in proposals),
        spared=sum(map(spared, proposals)),
        finished=len(judged),
        wrong=sum(one >= statistics.median(standard) for one in judged) if standard else 0,
        winners=sum(one > max(standard) for one in judged) if standard else 0,
        peers=len(standard),
        thawed=sum(any(d.action is Decision.THAW for d in trial.decisions) for trial in proposals),
    )


def spared(trial: TrialHistory) -> bool:
    """Whether the pruner wanted this trial ended and it was let go on."""
    return any(decision.action is Decision.SPARE for decision in trial.decisions)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
