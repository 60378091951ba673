"""One trial as it stands: what was proposed, what it reported, what was decided, how it ended."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.outcomes import OutcomeKind, is_rejected
from lossweep.spaces.files.html_table import html_table
from lossweep.spaces.metrics import shown_in
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation, HeldOutScore

_IN_A_NOTEBOOK: Final = tuple(metric.name for metric in shown_in("table", "curve", "tuned", "tuned_object"))
"""The metrics a notebook shows of each evaluation, where measured: those of the tables of trials."""


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
        warm_start: of a proposal that is a former winner: its index in the sweep file; None for any other.
        retries: number of the failed trial that it tries again; None for any other.
        code: digests of the source of the user's own parts that it trained by, by import path.
        confirms: of a confirmation trial: the index of its seed; None for any other.
        extends: number of the trial that it is with more epochs than the sweep's budget; None for any other.
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
    confirms: int | None = None
    warm_start: int | None = None
    retries: int | None = None
    extends: int | None = None
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_the_search(self) -> bool:
        """Whether it is a trial of the search: neither one that confirms nor one that extends another."""
        return self.confirms is None and self.extends is None

    @property
    def rejected(self) -> bool:
        """Whether it ended before its first step: its loss has no gradient at first, or explodes."""
        return is_rejected(self.outcome, self.evaluations)

    @property
    def epochs(self) -> int:
        """Epochs that it went through so far, those that other trials had trained included."""
        return self.evaluations[-1].epoch if self.evaluations else 0

    @property
    def shared_epochs(self) -> Mapping[int, int]:
        """Of its epochs, those that other trials had trained, by the number of the trial."""
        shared: Counter[int] = Counter()
        before = 0
        for evaluation in self.evaluations:
            if evaluation.trained_by is not None:
                shared[evaluation.trained_by] += evaluation.epoch - before
            before = evaluation.epoch
        return shared

    @property
    def trained_epochs(self) -> int:
        """Of its epochs, those that it trained itself."""
        return self.epochs - sum(self.shared_epochs.values())

    @property
    def shares(self) -> str:
        """What it shares with whom: ``shares 12 of 24 epochs with #7``; empty where it shares none."""
        shared = self.shared_epochs
        if not shared:
            return ""
        *others, last = (f"#{number}" for number in shared)
        named = f"{', '.join(others)} and {last}" if others else last
        return f"shares {sum(shared.values())} of {self.epochs} epochs with {named}"

    @property
    def scored(self) -> Evaluation | None:
        """The evaluation that the score was taken from."""
        return next((e for e in self.evaluations if e.step == self.scored_step), None)

    @property
    def shown(self) -> Evaluation | None:
        """The evaluation whose figures stand for the trial: the scored one, else that of the highest AP."""
        return self.scored or self.best

    @property
    def held_out(self) -> HeldOutScore | None:
        """What a confirmation trial scored on the test split; None before its end, and in the search."""
        return self.evaluations[-1].held_out if self.evaluations else None

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of the highest AP."""
        measured = [evaluation for evaluation in self.evaluations if evaluation.metrics]
        return max(measured, key=lambda e: e.metrics.get("ap", float("-inf")), default=None)

    def __str__(self) -> str:
        """Its number, how it ended, why, and what it scored, as one line without the schedule."""
        label = f"trial {self.number}" + (f", control {self.control}" if self.control else "")
        ended = f"{label}: {self.outcome.value}" + (f" ({self.reason})" if self.reason else "")
        return ended if self.score is None else f"{ended}, score {self.score:.3f}"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: how it ended, its schedule, and a row an evaluation."""
        names = [name for name in _IN_A_NOTEBOOK if any(name in e.metrics for e in self.evaluations)]
        rows = [
            (
                f"{evaluation.epoch}" + " (scored)" * (evaluation.step == self.scored_step),
                evaluation.loss_name,
                f"{evaluation.learning_rate:.3g}",
                *(f"{evaluation.metrics[name]:.3f}" if name in evaluation.metrics else "" for name in names),
            )
            for evaluation in self.evaluations
        ]
        measured = html_table(("epoch", "loss", "learning rate", *names), rows) if rows else ""
        return f"<p>{html.escape(str(self))}</p>\n{self.schedule._repr_html_()}\n{measured}"
