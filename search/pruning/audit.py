"""How often the pruner would have been wrong, by the trials it wanted to end but had to let go on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from search.history import SweepHistory, TrialHistory
from search.outcomes import OutcomeKind


@dataclass(frozen=True, slots=True)
class PrunerAudit:
    """The audit of a sweep's pruner.

    Attributes:
        pruned: trials it ended.
        spared: trials it wanted to end and that were let go on.
        finished: spared trials that used their whole budget: those that can be judged.
        wrong: finished ones whose score is at or above the median of the proposals it let through on its own.
        winners: finished ones that beat the best of those.
    """

    pruned: int
    spared: int
    finished: int
    wrong: int
    winners: int

    @property
    def error_rate(self) -> float | None:
        """The share of judged decisions that were wrong; None when none can be judged."""
        return self.wrong / self.finished if self.finished else None

    def __str__(self) -> str:
        counts = f"{self.pruned} pruned, {self.spared} spared"
        if not self.finished:
            return f"{counts}; none of them finished, so nothing can be said"
        judged = f"of {self.finished} that finished, {self.wrong} ended in the better half"
        return f"{counts}; {judged} and {self.winners} would have won"


def audit(history: SweepHistory) -> PrunerAudit:
    """Return how often the pruner would have been wrong, by the trials it spared."""
    sign = 1.0 if history.direction == "maximize" else -1.0

    def spared(trial: TrialHistory) -> bool:
        return any(decision.action == "spare" for decision in trial.decisions)

    def scores(trials: list[TrialHistory]) -> list[float]:
        done = [t for t in trials if t.outcome is OutcomeKind.COMPLETED and t.score is not None]
        return [sign * (t.score or 0.0) for t in done]

    proposals = [trial for trial in history.trials if trial.control is None]
    on_trial = [trial for trial in proposals if spared(trial)]
    judged = scores(on_trial)
    passed = scores([trial for trial in proposals if not spared(trial)])
    return PrunerAudit(
        pruned=sum(trial.outcome is OutcomeKind.PRUNED for trial in proposals),
        spared=len(on_trial),
        finished=len(judged),
        wrong=sum(score >= statistics.median(passed) for score in judged) if passed else 0,
        winners=sum(score > max(passed) for score in judged) if passed else 0,
    )
