"""A sweep as it stands, read from its database at one moment: what every view is built from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from lossweep.search.study.confirmation import Confirmation, ConfirmationPlan, plan_confirmation
from lossweep.search.study.epochs import CHARGED, Epochs, epochs_left
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.ranking import Tried, best_plain, ranked, tried
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.study.trial_history import TrialHistory
from lossweep.spaces.class_prior import ClassPrior
from lossweep.spaces.metric_names import higher_is_better
from lossweep.spaces.schedules.controls import is_plain

__all__ = ["SweepHistory", "TrialHistory"]


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
        refills: whether epochs that trials save go to further ones, until so many trials' epochs are trained.
        trials: of the search, in order of number; confirmation has its own.
        created: UTC.
        data_fingerprint: ``sha256:...`` of the decoded data.
        code_version: of lossweep.
        confirmation: leaders and control trained again with fresh seeds; None when there was none.
        extensions: trials with more epochs than the budget, each of another one: beside the search, and never
            ranked in it.
        own_controls: names of the user's own baselines.
        note: why it stands so, in one line; empty where nothing is to be said.
        driver: which process drives it; empty when none does, or none is known of.
        later_metrics: of an objective of several metrics, those after the first; they decide where it ties.
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
    confirmation: Confirmation | None = None
    own_controls: tuple[str, ...] = ()
    note: str = ""
    driver: str = ""
    later_metrics: tuple[str, ...] = ()
    extensions: tuple[TrialHistory, ...] = ()
    refills: bool = False

    @property
    def directions(self) -> tuple[str, ...]:
        """What is better in each metric of the objective, the leading one first."""
        later = ("maximize" if higher_is_better(name) else "minimize" for name in self.later_metrics)
        return (self.direction, *later)

    @property
    def recorded(self) -> tuple[TrialHistory, ...]:
        """All trials of the study in order of number, those that confirm or extend others included."""
        confirming = self.confirmation.trials if self.confirmation is not None else ()
        return tuple(sorted((*self.trials, *confirming, *self.extensions), key=lambda trial: trial.number))

    @property
    def standing(self) -> tuple[TrialHistory, ...]:
        """The trials of the search that its budget counts: of one tried again, the last try alone.

        Proposals that were rejected before training are none of them, up to as many as the budget has trials.
        """
        rejected = [trial.number for trial in self.trials if trial.rejected and trial.control is None]
        left_out = {trial.retries for trial in self.trials} | set(rejected[: self.budget_trials])
        return tuple(trial for trial in self.trials if trial.number not in left_out)

    @property
    def ended(self) -> int:
        """How many trials of the budget have ended."""
        return sum(trial.outcome.is_final for trial in self.standing)

    @property
    def left(self) -> int:
        """How many trials are still to begin; at least, where the budget is refilled."""
        if not self.refills:
            return max(0, self.budget_trials - len(self.standing))
        retried = {trial.retries for trial in self.trials}
        charged = [t.epochs for t in self.trials if t.outcome in CHARGED and t.number not in retried]
        trained = Epochs.of(self.trials).trained
        left = epochs_left(self.budget_trials, self.budget_epochs, trained, charged, len(self.trials))
        return math.ceil(left / self.budget_epochs)

    @property
    def budget(self) -> str:
        """What its search may spend, in words."""
        if self.refills:
            return f"{self.budget_trials * self.budget_epochs} epochs, {self.budget_epochs} a trial"
        return f"{self.budget_trials} trials of {self.budget_epochs} epochs"

    @property
    def progress(self) -> str:
        """How far its search is: ``12/16`` trials; ``20 (150/192 epochs)`` where the budget is refilled."""
        if self.refills:
            allowed = self.budget_trials * self.budget_epochs
            return f"{self.ended} ({Epochs.of(self.trials).trained}/{allowed} epochs)"
        return f"{self.ended}/{self.budget_trials}"

    @property
    def paused(self) -> int:
        """How many trials of the budget are paused: they go on if their peers turn out no better."""
        return sum(trial.outcome is OutcomeKind.PAUSED for trial in self.standing)

    @property
    def failed_for_good(self) -> tuple[TrialHistory, ...]:
        """The failed trials that were not tried again: of the search, and of the newest confirmation."""
        arms = self.confirmation.plan if self.confirmation is not None else None
        retried = {trial.retries for trial in self.recorded}
        return tuple(
            trial
            for trial in self.recorded
            if trial.outcome is OutcomeKind.FAILED
            and trial.number not in retried
            and trial.extends is None
            and (trial.confirms is None or (arms is not None and arms.asks_for(trial)))
        )

    def holding(self, recorded: Iterable[TrialHistory], confirmation: Confirmation | None) -> SweepHistory:
        """Return the sweep with other trials, as a listener has followed them.

        Args:
            recorded: its trials of all kinds, in any order.
            confirmation: whose trials are to be those among ``recorded`` that confirm; None while there is
                none, and then they are left out.
        """
        found = sorted(recorded, key=lambda trial: trial.number)
        confirming = tuple(trial for trial in found if trial.confirms is not None)
        return replace(
            self,
            trials=tuple(trial for trial in found if trial.of_the_search),
            confirmation=confirmation and replace(confirmation, trials=confirming),
            extensions=tuple(trial for trial in found if trial.extends is not None),
        )

    def without_driver(self, why: str) -> SweepHistory:
        """Return the sweep as it stands when no driver has it: what is marked as running was interrupted.

        Args:
            why: no driver has it.
        """
        trials = [_interrupted(trial, why) for trial in self.recorded]
        left = self.holding(trials, self.confirmation)
        if self.state is SweepState.RUNNING:
            return replace(left, state=SweepState.INTERRUPTED, note=why, driver="")
        return replace(left, driver="")

    def ranked(self) -> tuple[TrialHistory, ...]:
        """Trials with a score, best first: feasible before infeasible; see `search.study.ranking`."""
        return ranked(self.trials, self.directions)

    def winner(self) -> TrialHistory | None:
        """The best completed trial, controls included."""
        return next((t for t in self.ranked() if t.outcome is OutcomeKind.COMPLETED), None)

    def control(self) -> TrialHistory | None:
        """What every sweep has to beat: the best plain cross-entropy found, or one of the user's baselines.

        Without any, the best of the other controls.
        """
        named = (trial for trial in self.ranked() if trial.control is not None)
        return best_plain(self.trials, self.directions, self.own_controls) or next(named, None)

    def contender(self) -> TrialHistory | None:
        """The trial to hold against the control: the winner, or the best completed other when it wins."""
        winner, control = self.winner(), self.control()
        if winner is None or winner is not control:
            return winner
        others = [t for t in self.ranked() if t.outcome is OutcomeKind.COMPLETED and t is not control]
        # Stable: the best of another loss, as a confirmation would take it, else whatever there is.
        return next(iter(sorted(others, key=lambda t: self._like_the_control(t))), None)

    def _like_the_control(self, trial: TrialHistory) -> bool:
        return is_plain(trial.schedule) or trial.control in self.own_controls

    @property
    def epochs(self) -> Epochs:
        """How many epochs its trials went through, confirming ones included, and how many of them trained."""
        return Epochs.of(self.recorded)

    def tried(self) -> Tried:
        """How many schedules were tried on each side."""
        return tried(self.trials, self.own_controls)

    def plan_confirmation(self, *, top: int, seeds: int, margin: float) -> ConfirmationPlan | None:
        """What would be confirmed now, had nothing been yet; None while there is no leader or no control."""
        own = self.own_controls
        return plan_confirmation(
            self.trials, self.directions, top=top, seeds=seeds, margin=margin, own_controls=own
        )

    def counts(self) -> dict[str, int]:
        """How many trials ended in each way."""
        return {kind.value: sum(t.outcome is kind for t in self.trials) for kind in OutcomeKind}


def _interrupted(trial: TrialHistory, why: str) -> TrialHistory:
    if trial.outcome is not OutcomeKind.RUNNING:
        return trial
    return replace(trial, outcome=OutcomeKind.INTERRUPTED, reason=why)
