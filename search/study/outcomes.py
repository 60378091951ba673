"""How a trial ends, and what each end is called in Optuna, in MLflow and on the command line: one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from optuna.trial import TrialState

from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.trainers.evaluation import Evaluation


class OutcomeKind(StrEnum):
    """How a trial ended, or that it has not."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"

    @property
    def optuna_state(self) -> TrialState:
        """The state of the Optuna trial."""
        return _TABLE[self][0]

    @property
    def mlflow_status(self) -> str:
        """The status of the MLflow run. Pruned and diverged runs are FINISHED: red there means trouble."""
        return _TABLE[self][1]

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to be done: an interrupted trial goes on, and a paused one may."""
        return self not in (OutcomeKind.RUNNING, OutcomeKind.INTERRUPTED, OutcomeKind.PAUSED)


_TABLE: Mapping[OutcomeKind, tuple[TrialState, str]] = {
    OutcomeKind.RUNNING: (TrialState.RUNNING, "RUNNING"),
    OutcomeKind.COMPLETED: (TrialState.COMPLETE, "FINISHED"),
    OutcomeKind.PRUNED: (TrialState.PRUNED, "FINISHED"),
    OutcomeKind.DIVERGED: (TrialState.PRUNED, "FINISHED"),
    OutcomeKind.FAILED: (TrialState.FAIL, "FAILED"),
    # Optuna's WAITING: not RUNNING (nothing is), and not finished either (it goes on from its checkpoint).
    OutcomeKind.INTERRUPTED: (TrialState.WAITING, "KILLED"),
    # MLflow's SCHEDULED: nothing ended it, and it may go on.
    OutcomeKind.PAUSED: (TrialState.WAITING, "SCHEDULED"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended.

    Attributes:
        kind: which end.
        reason: one line: the guard's sentence, the pruner's comparison, the exception.
        figures: the numbers behind the reason.
        traceback: of a failed trial, as text.
    """

    kind: OutcomeKind
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the conductor made of an evaluation; the runner obeys it.

    Attributes:
        decision: what was decided, and why.
        outcome: how the trial ends by it, or None when it goes on.
    """

    decision: DecisionRecord
    outcome: Outcome | None


def is_rejected(kind: OutcomeKind, evaluations: Sequence[Evaluation]) -> bool:
    """Whether a trial ended before its first step, as its loss could not be learned by: it cost no epoch."""
    return kind is OutcomeKind.DIVERGED and bool(evaluations) and evaluations[-1].step == 0


def divergence(evaluation: Evaluation) -> Outcome | None:
    """Return the end of a trial whose guard stopped it in this evaluation, or None when none did."""
    verdict = evaluation.verdict
    if verdict is None:
        return None
    figures = {"step": float(verdict.step), "phase": float(verdict.phase), **verdict.figures}
    return Outcome(OutcomeKind.DIVERGED, f"{verdict.rule}: {verdict.message}", figures)


def outcome_by(decision: DecisionRecord, finished: bool) -> Outcome | None:
    """Return how a trial ends by a decision, or None when it goes on.

    Args:
        decision: taken at its newest evaluation.
        finished: whether its budget is spent with that evaluation.
    """
    match decision.action:
        case Decision.DIVERGE:
            return Outcome(OutcomeKind.DIVERGED, decision.reason, decision.figures)
        case Decision.PRUNE:
            return Outcome(OutcomeKind.PRUNED, decision.reason, decision.figures)
        case Decision.PAUSE:
            return Outcome(OutcomeKind.PAUSED, decision.reason, decision.figures)
        case Decision.CONTINUE | Decision.SPARE | Decision.RETRY | Decision.THAW:
            return Outcome(OutcomeKind.COMPLETED, "trained its whole budget") if finished else None
