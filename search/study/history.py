"""A sweep as it stands, read from its database at one moment: what every view is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class TrialHistory:
    """One trial: what was proposed, what it reported, what was decided, how it ended.

    Attributes:
        number: its number in the study, from 0.
        schedule: what it trains.
        seed: of its training.
        control: the control's name (``cross_entropy``, ``weighted_ce``, ...), or None for a proposal.
        parameters: the Optuna parameters, flat.
        outcome: how it ended, or RUNNING.
        reason: why, as one line.
        score: the objective's leading value, or None; `SweepHistory.direction` says what is better.
        feasible: whether it meets the objective's constraints.
        evaluations: in order of step.
        decisions: in order of time.
        started: UTC.
        ended: UTC, None while it runs.
        gpu_seconds: seconds of training and evaluation, times the GPUs held (CPU slots when there is no GPU).
        traceback: of a failed trial.
        scored_step: the step the score was taken at; that evaluation's threshold and checkpoint are exported.
        values: one a metric of the objective; the first is ``score``.
    """

    number: int
    schedule: LossSchedule
    seed: int
    control: str | None
    parameters: Mapping[str, float | int | str | bool | None]
    outcome: OutcomeKind
    reason: str
    score: float | None
    feasible: bool
    evaluations: tuple[Evaluation, ...]
    decisions: tuple[DecisionRecord, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    gpu_seconds: float = 0.0
    traceback: str = ""
    scored_step: int | None = None
    values: tuple[float, ...] = ()

    @property
    def scored(self) -> Evaluation | None:
        """The evaluation that the score was taken from."""
        return next((e for e in self.evaluations if e.step == self.scored_step), None)

    @property
    def shown(self) -> Evaluation | None:
        """The evaluation whose figures stand for the trial: the scored one, else that of the highest AP."""
        return self.scored or self.best

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of the highest AP."""
        return max(self.evaluations, key=lambda e: e.metrics.get("ap", float("-inf")), default=None)


@dataclass(frozen=True, slots=True)
class SweepHistory:
    """One sweep with all its trials.

    Attributes:
        name: of the sweep.
        spec_yaml: the sweep file as submitted (without secrets).
        state: how it stands.
        objective: the objective in one line, such as ``object_f1 (use case counting)``.
        metric: the name of the metric that `TrialHistory.score` is a value of.
        direction: ``maximize`` or ``minimize``.
        prior: classes and their frequencies in training.
        budget_trials: trials the sweep may run.
        budget_epochs: epochs a trial may train.
        trials: in order of number.
        created: UTC.
        data_fingerprint: ``sha256:...`` of the decoded data.
        code_version: of lossweep.
    """

    name: str
    spec_yaml: str
    state: SweepState
    objective: str
    metric: str
    direction: str
    prior: ClassPrior
    budget_trials: int
    budget_epochs: int
    trials: tuple[TrialHistory, ...]
    created: datetime
    data_fingerprint: str = ""
    code_version: str = ""

    def ranked(self) -> tuple[TrialHistory, ...]:
        """Trials with a score, best first: feasible before infeasible, ties by number."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        scored = [trial for trial in self.trials if trial.score is not None]
        return tuple(sorted(scored, key=lambda t: (not t.feasible, sign * (t.score or 0.0), t.number)))

    def winner(self) -> TrialHistory | None:
        """The best completed trial, controls included."""
        return next((t for t in self.ranked() if t.outcome is OutcomeKind.COMPLETED), None)

    def control(self) -> TrialHistory | None:
        """The plain cross-entropy control every sweep has to beat, or the best control when it has none."""
        controls = [t for t in self.ranked() if t.control is not None]
        plain = [t for t in controls if t.control == "cross_entropy"]
        return next(iter(plain or controls), None)

    def contender(self) -> TrialHistory | None:
        """The trial to hold against the control: the winner, or the best completed other when it wins."""
        winner, control = self.winner(), self.control()
        if winner is None or winner is not control:
            return winner
        others = (t for t in self.ranked() if t.outcome is OutcomeKind.COMPLETED and t is not control)
        proposed = sorted(others, key=lambda t: t.control is not None)  # stable: the best stays first
        return next(iter(proposed), None)

    def counts(self) -> dict[str, int]:
        """How many trials ended in each way."""
        return {kind.value: sum(t.outcome is kind for t in self.trials) for kind in OutcomeKind}
