"""A sweep as its events tell it: how far it is, how long it will still take, what a log file says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from lossweep.dashboards.result import trial_label
from lossweep.dashboards.terminal.awaited_trials import AwaitedTrials
from lossweep.dashboards.terminal.tables import tally
from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.decisions import Decision
from lossweep.search.study.epochs import Epochs
from lossweep.search.study.events import (
    ConfirmationStarted,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.history import SweepHistory, TrialHistory
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.verdicts.sentence import arm_words, control_words
from lossweep.spaces.metrics import over_training

_LABELS = {metric.name: metric.label for metric in over_training("progress")}


class SweepProgress:
    """Takes every event of a sweep, in order."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin before the sweep's first event; ``clock`` gives seconds."""
        self._clock = clock
        self._began = clock()
        self._sweep: SweepHistory | None = None
        self._trials: dict[int, TrialHistory] = {}
        self._epochs = 0
        self._first: float | None = None
        self._awaited = AwaitedTrials(clock)
        self._confirming: Confirmation | None = None

    def take(self, event: Event) -> None:
        """Take one event."""
        match event:
            case SweepStarted(sweep) | SweepEnded(sweep):
                if isinstance(event, SweepStarted):
                    self._began, self._epochs, self._first = self._clock(), 0, None
                self._sweep = sweep
                self._trials = {trial.number: trial for trial in sweep.recorded}
                self._confirming = sweep.confirmation
            case ConfirmationStarted(confirmation):
                self._confirming = confirmation
            case TrialStarted(trial):
                self._trials[trial.number] = trial
                self._awaited.started(trial.number)
            case TrialEnded(trial):
                self._trials[trial.number] = trial
                self._awaited.ended(trial.number)
            case TrialEvaluated(number, evaluation, _):
                trial = self._trials[number]
                new = evaluation.epoch - _epochs(trial)
                self._awaited.evaluated(number, new)
                if new > 0:
                    if self._first is None:
                        self._first = self._clock()
                    else:
                        self._epochs += new
                    self._trials[number] = replace(trial, evaluations=(*trial.evaluations, evaluation))

    @property
    def history(self) -> SweepHistory | None:
        """The sweep as it stands; None before its first event."""
        if self._sweep is None:
            return None
        return self._sweep.holding(self._trials.values(), self._confirming)

    @property
    def running(self) -> tuple[TrialHistory, ...]:
        """The trials that run."""
        return tuple(trial for trial in self._trials.values() if trial.outcome is OutcomeKind.RUNNING)

    def waits_for(self, most: int = 2) -> str:
        """Name the running trials, each with how long it has been silent; empty where none runs."""
        return self._awaited.names([trial.number for trial in self.running], most)

    @property
    def left(self) -> str:
        """The time left, in words; empty where nothing is known or left."""
        seconds = self._seconds_left()
        return f"about {timedelta(seconds=round(seconds))} left" if seconds and seconds >= 0.5 else ""

    def line(self, event: Event) -> str | None:
        """Say in one line what happened; None for evaluations that change nothing."""
        match event:
            case SweepStarted(sweep):
                again = " goes on" if sweep.trials else ""
                return f"{self._done} Sweep {sweep.name}{again}: {sweep.budget}, objective {sweep.objective}"
            case TrialStarted(trial):
                again = f" goes on after epoch {_epochs(trial)}" if trial.evaluations else " starts"
                arm = (
                    f", {arm_words(self._confirming.plan, trial)}"
                    if trial.confirms is not None and self._confirming
                    else ""
                )
                return f"{self._done} {trial_label(trial)}{again}{arm}: {trial.schedule}"
            case ConfirmationStarted(confirmation):
                return self._confirmation(confirmation)
            case TrialEvaluated(number, evaluation, decision):
                if decision.action is not Decision.SPARE:  # an end is told by TrialEnded
                    return None
                where = f"Trial {number} at epoch {evaluation.epoch}/{evaluation.epochs}"
                return f"{self._done} {where}: {decision.action}, {decision.reason}"
            case TrialEnded(trial):
                return self._end(trial)
            case SweepEnded():
                return self.conclusion()

    def conclusion(self, why: str = "") -> str:
        """Say how the sweep ended and its trials with it; who won is the command's to print."""
        if self._sweep is None:
            return "The sweep did not start"
        state: str = self._sweep.state
        if why and state != SweepState.FINISHED:
            state = why if why.startswith(state) else f"{state} ({why})"
        after = timedelta(seconds=round(self._clock() - self._began))
        ends = tally(self._sweep).plain.replace("  ", ", ") or "no trials"
        return f"{self._done} Sweep {self._sweep.name} {state} after {after}: {ends}"

    def heartbeat(self, most: int) -> str:
        """Say how the running trials are getting on, ``most`` of them in figures."""
        measured = [trial for trial in self.running if trial.evaluations]
        parts = [_figures(trial) for trial in measured[:most]]
        if len(measured) > most:
            parts.append(f"{len(measured) - most} more")
        return "; ".join([f"{self._done} running: {', '.join(parts) or 'none'}", *filter(None, [self.left])])

    @property
    def _done(self) -> str:
        done, budget = self.done
        return f"[{done:>{len(str(budget))}}/{budget}{' epochs' if self.in_epochs else ''}]"

    @property
    def in_epochs(self) -> bool:
        """Whether `done` counts epochs: those of a search that refills its budget."""
        sweep = self.history
        return sweep is not None and sweep.refills and not _confirms(sweep)

    @property
    def done(self) -> tuple[int, int]:
        """Trials that have ended or are paused, and how many there are to be; then of the confirmation.

        Of a budget that is refilled, epochs.
        """
        sweep = self.history
        if sweep is None:
            return 0, 0
        if sweep.confirmation is not None and _confirms(sweep):
            return sweep.confirmation.done, sweep.confirmation.planned
        if sweep.refills:
            return Epochs.of(sweep.trials).trained, sweep.budget_trials * sweep.budget_epochs
        return sweep.ended + sweep.paused, sweep.budget_trials

    def _confirmation(self, confirmation: Confirmation) -> str:
        plan = confirmation.plan
        leaders = ", ".join(f"trial {arm.trial}" for arm in plan.leaders)
        read = f"; the test split was read {plan.reads_before} times before" if plan.reads_before else ""
        return (
            f"{self._done} Confirming {leaders} with {plan.seeds} fresh seeds, beside what "
            f"{'it is' if len(plan.leaders) == 1 else 'they are'} made of and the control "
            f"({control_words(plan.control.schedule)}): {confirmation.planned} trainings{read}"
        )

    def _end(self, trial: TrialHistory) -> str:
        completed = trial.outcome is OutcomeKind.COMPLETED
        said = f"{self._done} {trial_label(trial)} {trial.outcome.value}"
        if trial.evaluations and not completed:
            said += f" at epoch {_epochs(trial)}/{trial.evaluations[-1].epochs}"
        if trial.score is not None and self._sweep is not None:
            said += f", {self._sweep.metric} {trial.score:.3f}"
        if trial.reason and not completed:
            said += f": {trial.reason}"
        left = self.left
        return f"{said}; {left}" if left else said

    def _seconds_left(self) -> float | None:
        """Estimate from the epochs a second so far and the epochs a trial of this sweep takes on average.

        Counted from the first evaluation: until then the workers load their libraries and their data. It is
        never less than the slowest of the running trials takes, alone as it may be by then.
        """
        sweep, elapsed = self._sweep, self._clock() - (self._first or 0.0)
        if sweep is None or not self._epochs or elapsed <= 0.0:
            return None
        trials = self._trials.values()
        at_rest = {trial.number for trial in trials if _is_at_rest(trial)}
        spent = [
            _epochs(trial)
            for trial in trials
            if trial.number in at_rest and not trial.rejected and trial.extends is None
        ]
        usual = sum(spent) / len(spent) if spent else float(sweep.budget_epochs)
        going = [trial for trial in trials if trial.number not in at_rest]
        if sweep.refills:  # whatever a trial leaves, another one trains
            going = [trial for trial in going if not trial.of_the_search]
        rest = sum(_epochs_to_go(trial, usual) for trial in going)
        retried = {trial.retries for trial in trials}
        counted = [t for t in trials if t.number not in retried and not (t.rejected and t.control is None)]
        searched = [trial for trial in counted if trial.of_the_search]
        confirming = sum(trial.confirms is not None for trial in counted)
        if sweep.refills:
            rest += max(0, sweep.budget_trials * sweep.budget_epochs - Epochs.of(searched).trained)
        else:
            rest += usual * max(0, sweep.budget_trials - len(searched))
        if self._confirming is not None:
            rest += sweep.budget_epochs * max(0, self._confirming.planned - confirming)
        least = [self._awaited.least(t.number, self._epochs_left(t, usual)) for t in self.running]
        return max(rest * elapsed / self._epochs, *least, 0.0)

    def _epochs_left(self, trial: TrialHistory, usual: float) -> float:
        """What a running trial has to go: to the average, and beyond it at least one."""
        budget = trial.evaluations[-1].epochs if trial.evaluations else usual
        return max(usual - _epochs(trial), min(1.0, budget - _epochs(trial)))


def _confirms(sweep: SweepHistory) -> bool:
    """Whether the search is over, and what it found is being confirmed."""
    return sweep.confirmation is not None and all(trial.outcome.is_final for trial in sweep.trials)


def _is_at_rest(trial: TrialHistory) -> bool:
    """Whether nothing more of it is expected: it has ended, or is paused, and few of those go on."""
    return trial.outcome.is_final or trial.outcome is OutcomeKind.PAUSED


def _epochs_to_go(trial: TrialHistory, usual: float) -> float:
    """To what is usual; of one that has more epochs than others, to its own end."""
    whole = usual if trial.extends is None else float(trial.schedule.epochs or usual)
    return max(0.0, whole - _epochs(trial))


def _epochs(trial: TrialHistory) -> int:
    return trial.evaluations[-1].epoch if trial.evaluations else 0


def _figures(trial: TrialHistory) -> str:
    last = trial.evaluations[-1]
    figures = (f"{label} {last.metrics[name]:.2f}" for name, label in _LABELS.items() if name in last.metrics)
    return f"#{trial.number} {last.epoch}/{last.epochs} {' '.join(figures)}"
