"""Conducts a sweep: which trial next, whether it goes on, how it ended. Plain Python over one Optuna study.

Runners ask for plans, tell every evaluation and say how each trial ended. All three may be repeated after a
crash: the database decides what is known already. Only the driver's process holds a conductor, and only it
writes to the study.

Where a trial's end is decided: a rule (`search.pruning.rules`) judges its curve against those of its peers;
the pruner (`search.pruning.pruner`) exempts controls and spares some; `search.conducting.judging` asks the
pruner, unless a guard stopped the trial; `Conductor.observe` returns the decision with the outcome; the
dispatcher obeys and closes the trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from lossweep.search.conducting.confirming import Confirming
from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.prefixes import Prefixes
from lossweep.search.conducting.searching import Searching
from lossweep.search.conducting.settings import PlanTemplate, SearchSettings
from lossweep.search.conducting.violations import violations
from lossweep.search.study.confirmation import Confirmation
from lossweep.search.study.decisions import Decision, DecisionRecord
from lossweep.search.study.events import (
    ConfirmationStarted,
    Listener,
    ListenerGroup,
    TrialEnded,
    TrialEvaluated,
    TrialStarted,
)
from lossweep.search.study.finite import finite_only
from lossweep.search.study.history import TrialHistory
from lossweep.search.study.journal import Journal
from lossweep.search.study.outcomes import Observed, Outcome, OutcomeKind, divergence, is_rejected, outcome_by
from lossweep.search.study.ranking import best_plain
from lossweep.search.study.record import (
    CODE,
    CONFIRMS,
    CONTROL,
    OUTDATED,
    SEED,
    Proposal,
    StudyRecord,
    failed_for_good,
    outcome_of,
    schedule_of,
    trial_history,
)
from lossweep.spaces.schedules.controls import plain
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan
from lossweep.trainers.scoring.objectives import Score, score


class Conductor:
    """One sweep over one Optuna study.

    Args:
        study: with the objective's directions. Its own sampler and pruner are not used.
        settings: what is searched.
        template: what all trials have in common.
        journal: where evaluations and decisions are written.
        listeners: who is told.
        slots: GPUs a trial holds, or 1 on a CPU; for the seconds accounted.
        clock: seconds, for the budget of hours.
        code_of: tells the digests of the user's own parts that a trial would train by now.

    Raises:
        UserError: when the sampler or pruner cannot be built or does not fit.
    """

    def __init__(
        self,
        study: Study,
        settings: SearchSettings,
        template: PlanTemplate,
        journal: Journal,
        listeners: Iterable[Listener] = (),
        slots: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        code_of: Callable[[TrialPlan], Mapping[str, str]] = lambda plan: {},
    ) -> None:
        settings.check()
        self.settings = settings
        self.listeners = ListenerGroup(listeners)
        self._template = template
        self._journal = journal
        self._slots = slots
        self._clock = clock
        self._code_of = code_of
        self._since = clock()
        self._spent_before = float(study.user_attrs.get("seconds", 0.0))
        self._seconds_stored = self._spent_before
        self._study = study
        self._record = StudyRecord(study)
        self._judging = Judging(settings, journal)
        trials = self._record.trials()
        self._outcomes = {trial.number: outcome_of(trial).kind for trial in trials}
        self._started_here: set[int] = set()
        self._prefixes = Prefixes()
        self._held: set[int] = set()
        for trial in trials:
            self._prefixes.add(self._plan(trial), journal.evaluations(trial.number))
            if self._outcomes[trial.number] is not OutcomeKind.FAILED:
                self._judging.add(trial)
        self._confirms = {t.number for t in trials if CONFIRMS in t.user_attrs}
        self._controls = {t.number for t in trials if t.user_attrs.get(CONTROL) is not None}
        self._told = False
        rejected = sum(self._gives_back(number) for number in self._outcomes)
        self._search = Searching(settings, trials, self._best_plain, rejected)
        self._confirmation = Confirming(
            settings.confirm,
            self._record,
            settings.seed,
            settings.objective.directions,
            tuple(settings.controls),
            settings.trained_otherwise,
            lambda: [self.history(number) for number in sorted(self._outcomes.keys() - self._confirms)],
        )
        for failed in failed_for_good(trials):
            if settings.retry_failed or OUTDATED in failed.user_attrs:
                self._try_again(failed)

    # --- what is asked ------------------------------------------------------------------------------------

    def adopt(self) -> tuple[int, ...]:
        """Mark what a dead driver left running as interrupted, so that `ask` returns it first.

        Call it once, holding the sweep's lease. Returns the trials' numbers.
        """
        left = [number for number in self.running if number not in self._started_here]
        for number in left:
            self._interrupt(number, Outcome(OutcomeKind.INTERRUPTED, "its driver died"))
        return tuple(left)

    def begin_anew(self) -> dict[int, tuple[str, ...]]:
        """End interrupted trials as failed whose own code has changed since, and let them come again.

        What they reported was measured of other code, and stays with them. Call it after `adopt`.

        Returns:
            The import paths that changed, by the trial's number.
        """
        found = {}
        for number in self.interrupted:
            trial = self._record.trial(number)
            then, now = trial.user_attrs.get(CODE, {}), self._plan(trial).code or {}
            changed = tuple(path for path in now if now[path] != then.get(path))
            if changed and self._journal.evaluations(number):
                self._record.note_outdated(number)
                self._run(number)
                reason = f"{', '.join(changed)} has changed since: it begins anew as another trial"
                self.close(number, Outcome(OutcomeKind.FAILED, reason))
                self._try_again(trial)
                found[number] = changed
        return found

    def ask(self) -> TrialPlan | None:
        """Return the next trial to train, or None when nothing more is to be started.

        Interrupted trials come first, with the number, seed and schedule they had; then failed ones that are
        tried again, as new trials of the same seed and schedule; then the trials of the search, in the order
        of `search.conducting.turns`; once the last of them has ended, those of the confirmation. A plan that
        was asked for and never started is found again by `adopt`. Whatever comes next waits where a running
        trial trains what it begins with (`search.conducting.prefixes`), and others go first.
        """
        too_late = self.out_of_time and not self._at_once
        waiting = [n for n in self.interrupted if n in (self._held if too_late else self._stage)]
        if ready := [number for number in waiting if self._prefixes.awaited(number) is None]:
            if min(ready) in self._confirms:
                self._tell_of_confirmation()
            return self._resume(min(ready))
        if too_late or not self._prefixes.may_wait(len(waiting)):
            return None
        number = len(self._outcomes)
        if not self._at_once and not self._search.over:
            proposal = self._search.next(number)
            self._create(proposal, number)
            self._search.taken(proposal, number)
        elif self._searching:
            return None  # how they end may change who leads
        elif (confirming := self._confirmation.next()) is not None:
            self._tell_of_confirmation()
            self._create(confirming, number)
            self._confirms.add(number)
            self._search.skip(number)
            self._confirmation.taken(confirming)
        else:
            return None
        return self.ask() if self._hold(number) else self._start(self._record.trial(number))

    def group(self, number: int) -> str:
        """What such trials are called, in the plural: controls, proposals or confirmations."""
        if number in self._confirms:
            return "confirmations"
        return "controls" if number in self._controls else "proposals"

    def observe(self, number: int, evaluation: Evaluation) -> Observed:
        """Write an evaluation and decide whether its trial goes on.

        Idempotent by (number, step): what is known already is neither written nor told again, and gets the
        decision it got. What comes after the trial's end is not written.

        Returns:
            The decision, and how the trial ends by it: the caller stops training and calls `close` with that.
        """
        kind = self._outcomes[number]
        if kind is not OutcomeKind.RUNNING:
            late = DecisionRecord(evaluation.step, Decision.PRUNE, f"the trial is {kind.value} already")
            return Observed(late, outcome_by(late, evaluation.finished))
        finite = finite_only(evaluation)
        self._prefixes.takes(number, finite)
        known = self._journal.knows(number, finite.step)
        diverged = divergence(evaluation)  # of what was reported: what is not finite is its evidence
        decision = self._judging.taken_at(number, evaluation.step) if known else None
        if decision is None:
            decision = self._judging.decide(number, finite, diverged, number in self._confirms)
            self._journal.record(number, finite, decision)
            self._report_score(number, finite)
            self.listeners.tell(TrialEvaluated(number, finite, decision))
        return Observed(decision, diverged or outcome_by(decision, evaluation.finished))

    def close(self, number: int, outcome: Outcome) -> None:
        """Write how a trial ended. A trial that has ended already stays as it is.

        A completed trial without a value of the objective's metrics is written as failed, and says so.
        """
        if self._outcomes[number] is not OutcomeKind.RUNNING:
            return
        if outcome.kind is OutcomeKind.INTERRUPTED:
            self._interrupt(number, outcome)
        elif outcome.kind is OutcomeKind.RUNNING:
            raise ValueError("a trial cannot be closed as running")
        else:
            self._write_end(number, outcome)
        self._prefixes.ends(number)
        self._store_seconds()
        self.listeners.tell(TrialEnded(self.history(number)))

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Write a decision that the dispatcher took: to train a trial again after a fault."""
        self._journal.record_decision(number, decision)

    # --- how it stands ------------------------------------------------------------------------------------

    @property
    def out_of_time(self) -> bool:
        """Whether the budget of hours is spent."""
        return self.settings.hours is not None and self.seconds_spent >= 3600.0 * self.settings.hours

    @property
    def seconds_spent(self) -> float:
        """Wall-clock seconds of this sweep's drivers: earlier ones as they stored it, this one up to now."""
        return self._spent_before + self._clock() - self._since

    @property
    def finished(self) -> bool:
        """Whether the search's budget is spent and nothing is left to go on with, or to confirm."""
        spent = self.out_of_time or self._search.over
        if not spent or self.running or self.interrupted:
            return False
        return self.out_of_time or self._confirmation.next() is None

    @property
    def confirmed_at_once(self) -> bool:
        """Whether a confirmation that was asked for by itself has nothing left to train."""
        unfinished = any(number in self._confirms for number in (*self.running, *self.interrupted))
        return self._at_once and not unfinished and self._confirmation.next() is None

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that run."""
        return tuple(n for n, kind in self._outcomes.items() if kind is OutcomeKind.RUNNING)

    @property
    def interrupted(self) -> tuple[int, ...]:
        """Numbers of the trials that are to go on."""
        return tuple(n for n, kind in self._outcomes.items() if kind is OutcomeKind.INTERRUPTED)

    def history(self, number: int) -> TrialHistory:
        """Return everything recorded of a trial."""
        return self._history_of(self._record.trial(number))

    def shut_down(self) -> None:
        """Store the seconds spent and end the proposing thread; the conductor is not used afterwards."""
        self._store_seconds(at_once=True)
        self._search.close()

    # --- inside -------------------------------------------------------------------------------------------

    @property
    def _at_once(self) -> bool:
        """Whether to confirm what there is, searching no further."""
        return self.settings.confirm is not None and self.settings.confirm.at_once

    @property
    def _stage(self) -> Set[int]:
        """Numbers of the trials that may go on: where only a confirmation is asked for, of its own."""
        return self._confirms if self._at_once else self._outcomes.keys()

    @property
    def _searching(self) -> bool:
        """Whether a trial of the search runs."""
        return any(number not in self._confirms for number in self.running)

    def _history_of(self, trial: FrozenTrial) -> TrialHistory:
        """Everything recorded of a trial that was read just now."""
        written = self._journal.evaluations(trial.number), self._journal.decisions(trial.number)
        return trial_history(trial, self.settings.objective, *written, self._slots)

    def _try_again(self, failed: FrozenTrial) -> None:
        """Let a failed trial come again as a new one; it stays as it ended."""
        stage = self._confirmation if CONFIRMS in failed.user_attrs else self._search
        stage.try_again(failed)

    def _tell_of_confirmation(self) -> None:
        """Tell the listeners, once, what is confirmed."""
        plan, self._told, told = self._confirmation.plan, True, self._told
        if plan is not None and not told:
            done = tuple(self.history(number) for number in sorted(self._confirms))
            self.listeners.tell(ConfirmationStarted(Confirmation(plan, done)))

    def _create(self, proposal: Proposal, number: int) -> None:
        written = self._record.create(proposal)
        if written != number:
            raise RuntimeError(f"trial {number} was written as {written}: someone else writes to this study")

    def _hold(self, number: int) -> bool:
        """Let a trial that was just written wait for those that train what it begins with, if any do."""
        self._prefixes.add(self._plan(self._record.trial(number)))
        if (awaited := self._prefixes.awaited(number)) is None:
            return False
        self._interrupt(number, Outcome(OutcomeKind.INTERRUPTED, str(awaited)))
        self._held.add(number)
        return True

    def _best_plain(self) -> LossSchedule:
        """The best plain cross-entropy so far; at a rate that often does while none has a score."""
        histories = [self.history(n) for n in sorted(self._outcomes.keys() - self._confirms)]
        histories = [each for each in histories if each.control not in self.settings.trained_otherwise]
        found = best_plain(histories, self.settings.objective.directions)
        return found.schedule if found is not None else plain(self._template.epochs)

    def _run(self, number: int) -> None:
        """Let an interrupted trial be running."""
        self._record.resume(number)
        self._search.set_state(number, TrialState.RUNNING)
        self._outcomes[number] = OutcomeKind.RUNNING

    def _resume(self, number: int) -> TrialPlan:
        self._run(number)
        return self._start(self._record.trial(number))

    def _start(self, trial: FrozenTrial) -> TrialPlan:
        plan = self._plan(trial)
        if plan.code != trial.user_attrs.get(CODE, {}):
            self._record.note_code(trial.number, plan.code or {})
            trial = self._record.trial(trial.number)
        self._outcomes[trial.number] = OutcomeKind.RUNNING
        self._prefixes.begins(trial.number)
        self._started_here.add(trial.number)
        if trial.user_attrs.get(CONTROL) is not None:
            self._controls.add(trial.number)
        self._judging.add(trial)
        self.listeners.tell(TrialStarted(self._history_of(trial)))
        return plan

    def _plan(self, trial: FrozenTrial) -> TrialPlan:
        """The plan of a trial, by the code as it is now."""
        held_out = self.settings.objective if CONFIRMS in trial.user_attrs else None
        control = trial.user_attrs.get(CONTROL)
        plan = self._template.plan(
            trial.number, trial.user_attrs[SEED], schedule_of(trial), held_out, control
        )
        return replace(plan, code=self._code_of(plan))

    def _report_score(self, number: int, evaluation: Evaluation) -> None:
        """Give Optuna the score so far, where it can take one: with one metric, once there is one."""
        so_far = self._score(number)
        if so_far is not None and len(so_far.values) == 1:
            self._record.report(number, evaluation.step, so_far.values[0])

    def _score(self, number: int) -> Score | None:
        return score(self.settings.objective, self._journal.evaluations(number))

    def _write_end(self, number: int, outcome: Outcome) -> None:
        scored = self._score(number)
        if outcome.kind is OutcomeKind.COMPLETED and scored is None:
            names = ", ".join(self.settings.objective.names)
            outcome = Outcome(OutcomeKind.FAILED, f"no evaluation holds {names}")
        state = outcome.kind.optuna_state
        evaluations, confirms = self._journal.evaluations(number), number in self._confirms
        violated = violations(self.settings.objective, outcome.kind, scored, evaluations, confirms)
        reported = self._record.trial(number).intermediate_values
        values = scored.values if scored and state is TrialState.COMPLETE else None
        if state is TrialState.PRUNED and reported:
            values = (reported[max(reported)],)  # as study.tell does
        self._record.finish(number, outcome, values, violated)
        self._search.finish(number, state, values, reported, violated)
        self._outcomes[number] = outcome.kind
        if self._gives_back(number):
            self._search.give_back()
        if outcome.kind is OutcomeKind.FAILED and number not in self._confirms:
            self._judging.forget(number)

    def _gives_back(self, number: int) -> bool:
        """Whether a trial has ended that is none of the budget's: a proposal rejected before training."""
        if self._outcomes[number] is not OutcomeKind.DIVERGED or number in self._confirms | self._controls:
            return False
        return is_rejected(OutcomeKind.DIVERGED, self._journal.evaluations(number))

    def _interrupt(self, number: int, outcome: Outcome) -> None:
        self._record.interrupt(number, outcome)
        self._search.set_state(number, TrialState.WAITING)
        self._outcomes[number] = OutcomeKind.INTERRUPTED

    def _store_seconds(self, at_once: bool = False) -> None:
        """Write the seconds spent to where the next driver reads them, at most every half minute."""
        spent = self.seconds_spent
        if at_once or spent - self._seconds_stored > 30.0:
            self._study.set_user_attr("seconds", spent)
            self._seconds_stored = spent
