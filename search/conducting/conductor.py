"""Conducts a sweep: which trial next, whether it goes on, how it ended. Plain Python over one Optuna study.

Runners ask for plans, tell every evaluation and say how each trial ended. All three may be repeated after a
crash: the database decides what is known already. Only the driver's process holds a conductor, and only it
writes to the study.

Where a trial's end is decided: a rule (`search.pruning.rules`) judges its curve against those of its peers;
the pruner (`search.pruning.pruner`) exempts controls and spares some; `search.conducting.judging` asks the
pruner, unless a guard stopped the trial; `Conductor.observe` returns the decision with the outcome; the
dispatcher obeys and closes the trial. That is written by `search.conducting.ending`; what becomes of paused
trials is decided by `search.conducting.pausing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Set

from optuna import Study
from optuna.trial import FrozenTrial

from lossweep.search.conducting.beginning import Beginning
from lossweep.search.conducting.confirming import Confirming
from lossweep.search.conducting.ending import Ending, given_back
from lossweep.search.conducting.epoch_budget import EpochBudget
from lossweep.search.conducting.extending import Extending
from lossweep.search.conducting.hours import Hours
from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.pausing import Pausing
from lossweep.search.conducting.prefixes import Prefixes
from lossweep.search.conducting.roll import Roll
from lossweep.search.conducting.searching import Searching
from lossweep.search.conducting.settings import PlanTemplate, SearchSettings
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
from lossweep.search.study.outcomes import Observed, Outcome, OutcomeKind, divergence, outcome_by
from lossweep.search.study.ranking import best_plain
from lossweep.search.study.record import (
    CONFIRMS,
    EXTENDS,
    OUTDATED,
    StudyRecord,
    failed_for_good,
    trial_history,
)
from lossweep.spaces.schedules.controls import plain
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan


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
        self._epochs = template.epochs
        self._journal = journal
        self._slots = slots
        self._hours = Hours(study, settings.hours, clock)
        self._record = StudyRecord(study)
        self._judging = Judging(settings, journal)
        trials = self._record.trials()
        self._roll = roll = Roll(trials)
        self._prefixes = Prefixes()
        self._held: set[int] = set()
        for trial in trials:
            if roll.kinds[trial.number] is not OutcomeKind.FAILED:
                self._judging.add(trial)
        self._told = False
        rejected = sum(given_back(number, roll, journal) for number in roll.kinds)
        budget = EpochBudget(roll, journal, settings.trials, template.epochs)
        self._search = Searching(settings, trials, self._best_plain, budget, rejected)
        self._beginning = Beginning(
            settings, template, self._record, roll, self._judging, self._search, code_of
        )
        for trial in trials:
            self._prefixes.add(self._beginning.plan_of(trial), journal.evaluations(trial.number))
        self._ending = Ending(settings, self._record, journal, roll, self._judging, self._search)
        self._pausing = Pausing(journal, roll, self._judging, self._ending)
        self._confirmation = Confirming(
            settings.confirm,
            self._record,
            settings.seed,
            settings.objective.directions,
            tuple(settings.controls),
            settings.trained_otherwise,
            lambda: [self.history(number) for number in roll.searched],
        )
        self._extending = Extending(settings.extend, self._record, template.epochs)
        for failed in failed_for_good(trials):
            if settings.retry_failed or OUTDATED in failed.user_attrs:
                self._try_again(failed)

    # --- what is asked ------------------------------------------------------------------------------------

    def adopt(self) -> tuple[int, ...]:
        """Mark what a dead driver left running as interrupted, so that `ask` returns it first.

        What it was about to end is ended. Call it once, holding the sweep's lease. Returns the numbers of the
        trials that are interrupted now.
        """
        left = [number for number in self.running if number not in self._beginning.here]
        for number in left:
            self._ending.interrupt(number, Outcome(OutcomeKind.INTERRUPTED, "its driver died"))
        self._pausing.end_given_up()
        return tuple(left)

    def begin_anew(self) -> dict[int, tuple[str, ...]]:
        """End interrupted trials as failed whose own code has changed since, and let them come again.

        What they reported was measured of other code, and stays with them. Paused ones end as pruned: they
        cannot go on. Call it after `adopt`.

        Returns:
            The import paths that changed, by the number of each trial that begins anew.
        """
        found = {}
        for number in self.interrupted:
            changed = self._beginning.changed(number)
            if changed and self._journal.evaluations(number):
                trial = self._record.trial(number)
                self._record.note_outdated(number)
                self._beginning.take_up(number)
                anew = "extend anew" if number in self._roll.extends else "it begins anew as another trial"
                reason = f"{', '.join(changed)} has changed since: {anew}"
                self.close(number, Outcome(OutcomeKind.FAILED, reason))
                self._try_again(trial)
                found[number] = changed
        for number in self.paused:
            if changed := self._beginning.changed(number):
                self._end_paused(number, f"until {', '.join(changed)} changed")
        return found

    def ask(self) -> TrialPlan | None:
        """Return the next trial to train, or None when nothing more is to be started.

        Interrupted trials come first, with the number, seed and schedule they had; then paused ones that
        their rule lets go on by now, likewise; then failed ones that are tried again, as new trials of the
        same seed and schedule; then the trials of the search, in the order of `search.conducting.turns`; once
        the last of them has ended, those of the confirmation. A plan that was asked for and never started is
        found again by `adopt`. Whatever comes next waits where a running trial trains what it begins with
        (`search.conducting.prefixes`), and others go first.
        """
        self._end_paused_at_the_end()
        too_late = self.out_of_time and not self._at_once
        waiting = [n for n in self.interrupted if n in (self._held if too_late else self._stage)]
        if ready := [number for number in waiting if self._prefixes.awaited(number) is None]:
            if min(ready) in self._roll.confirms:
                self._tell_of_confirmation()
            return self._resume(min(ready))
        if too_late:
            return None
        paused = None if self._at_once or self._search.spent else self._pausing.next
        if paused is not None and self._prefixes.awaited(paused) is None:
            self._pausing.thaw(paused)
            return self._resume(paused)
        if not self._prefixes.may_wait(len(waiting)):
            return None
        number = len(self._roll.kinds)
        if not self._at_once and not self._search.over:
            proposal = self._search.next(number)
            self._beginning.create(proposal, number)
            self._search.taken(proposal, number)
        elif self._roll.searching:
            return None  # how they end may change who leads
        elif (beside := self._beside.next()) is not None:
            if beside.confirms is not None:
                self._tell_of_confirmation()
            self._beginning.create(beside, number)
            self._roll.enter(number, beside)
            self._search.skip(number)
            self._beside.taken(beside)
        else:
            return None
        return self.ask() if self._hold(number) else self._start(number)

    def group(self, number: int) -> str:
        """What such trials are called, in the plural: controls, proposals, confirmations or extensions."""
        return self._roll.group(number)

    def observe(self, number: int, evaluation: Evaluation) -> Observed:
        """Write an evaluation and decide whether its trial goes on.

        Idempotent by (number, step): what is known already is neither written nor told again, and gets the
        decision it got. What comes after the trial's end is not written.

        Returns:
            The decision, and how the trial ends by it: the caller stops training and calls `close` with that.
        """
        kind = self._roll.kinds[number]
        if kind is not OutcomeKind.RUNNING:
            late = DecisionRecord(evaluation.step, Decision.PRUNE, f"the trial is {kind.value} already")
            return Observed(late, outcome_by(late, evaluation.finished))
        finite = finite_only(evaluation)
        self._prefixes.takes(number, finite)
        self._search.takes(number, finite)
        known = self._journal.knows(number, finite.step)
        diverged = divergence(evaluation)  # of what was reported: what is not finite is its evidence
        decision = self._judging.taken_at(number, evaluation.step) if known else None
        if decision is None:
            decision = self._judging.decide(number, finite, diverged, self._roll.group(number))
            self._journal.record(number, finite, decision)
            self._ending.report(number, finite)
            self.listeners.tell(TrialEvaluated(number, finite, decision))
        elif finite.step == self._journal.evaluations(number)[-1].step:
            self._ending.report(number, finite)  # its driver may have died before it could
        return Observed(decision, diverged or outcome_by(decision, evaluation.finished))

    def close(self, number: int, outcome: Outcome) -> None:
        """Write how a trial ended. A trial that has ended already stays as it is.

        A completed trial without a value of the objective's metrics is written as failed, and says so.
        """
        if self._roll.kinds[number] is not OutcomeKind.RUNNING:
            return
        match outcome.kind:
            case OutcomeKind.RUNNING:
                raise ValueError("a trial cannot be closed as running")
            case OutcomeKind.INTERRUPTED:
                self._ending.interrupt(number, outcome)
            case OutcomeKind.PAUSED:
                self._ending.pause(number, outcome)
            case _:
                self._ending.finish(number, outcome)
        self._prefixes.ends(number)
        self._hours.store()
        self.listeners.tell(TrialEnded(self.history(number)))
        self._end_paused_at_the_end()

    def record_decision(self, number: int, decision: DecisionRecord) -> None:
        """Write a decision that the dispatcher took: to train a trial again after a fault."""
        self._journal.record_decision(number, decision)

    # --- how it stands ------------------------------------------------------------------------------------

    @property
    def out_of_time(self) -> bool:
        """Whether the budget of hours is spent."""
        return self._hours.over

    @property
    def seconds_spent(self) -> float:
        """Wall-clock seconds of this sweep's drivers: earlier ones as they stored it, this one up to now."""
        return self._hours.spent

    @property
    def finished(self) -> bool:
        """Whether the search's budget is spent and nothing is left to go on with, or to confirm."""
        spent = self.out_of_time or self._search.over
        if not spent or self.running or self.interrupted or self.paused:
            return False
        return self.out_of_time or self._confirmation.next() is None

    @property
    def done_at_once(self) -> bool:
        """Whether a confirmation or an extension that was asked for by itself has nothing left to train."""
        if not self._at_once or not self._stage.isdisjoint((*self.running, *self.interrupted)):
            return False
        return self._beside.next() is None

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that run."""
        return self._roll.running

    @property
    def interrupted(self) -> tuple[int, ...]:
        """Numbers of the trials that are to go on."""
        return self._roll.interrupted

    @property
    def paused(self) -> tuple[int, ...]:
        """Numbers of the trials that go on if their peers turn out no better."""
        return self._roll.paused

    def history(self, number: int) -> TrialHistory:
        """Return everything recorded of a trial."""
        return self._history_of(self._record.trial(number))

    def shut_down(self) -> None:
        """Store the seconds spent and end the proposing thread; the conductor is not used afterwards."""
        self._hours.store(at_once=True)
        self._search.close()

    # --- inside -------------------------------------------------------------------------------------------

    @property
    def _at_once(self) -> bool:
        """Whether to confirm or to extend what there is, searching no further."""
        return bool(self.settings.at_once)

    @property
    def _stage(self) -> Set[int]:
        """Numbers of the trials that may go on: of what is asked for alone, else all."""
        if self.settings.extend is not None:
            return self._extending.begun
        return self._roll.confirms if self._at_once else self._roll.kinds.keys()

    @property
    def _beside(self) -> Confirming | Extending:
        """What trains beside the search: once that is over, or at once."""
        return self._extending if self.settings.extend is not None else self._confirmation

    def _history_of(self, trial: FrozenTrial) -> TrialHistory:
        """Everything recorded of a trial that was read just now."""
        written = self._journal.evaluations(trial.number), self._journal.decisions(trial.number)
        return trial_history(trial, self.settings.objective, *written, self._slots)

    def _try_again(self, failed: FrozenTrial) -> None:
        """Let a failed trial come again as a new one; it stays as it ended."""
        if EXTENDS in failed.user_attrs:
            return  # whoever wants it asks for it anew
        stage = self._confirmation if CONFIRMS in failed.user_attrs else self._search
        stage.try_again(failed)

    def _tell_of_confirmation(self) -> None:
        """Tell the listeners, once, what is confirmed."""
        plan, self._told, told = self._confirmation.plan, True, self._told
        if plan is not None and not told:
            done = tuple(self.history(number) for number in sorted(self._roll.confirms))
            self.listeners.tell(ConfirmationStarted(Confirmation(plan, done)))

    def _hold(self, number: int) -> bool:
        """Let a trial that was just written wait for those that train what it begins with, if any do."""
        self._prefixes.add(self._beginning.plan_of(self._record.trial(number)))
        if (awaited := self._prefixes.awaited(number)) is None:
            return False
        self._ending.interrupt(number, Outcome(OutcomeKind.INTERRUPTED, str(awaited)))
        self._held.add(number)
        return True

    def _best_plain(self) -> LossSchedule:
        """The best plain cross-entropy so far; at a rate that often does while none has a score."""
        histories = [self.history(number) for number in self._roll.searched]
        histories = [each for each in histories if each.control not in self.settings.trained_otherwise]
        found = best_plain(histories, self.settings.objective.directions)
        return found.schedule if found is not None else plain(self._epochs)

    def _resume(self, number: int) -> TrialPlan:
        self._beginning.take_up(number)
        return self._start(number)

    def _start(self, number: int) -> TrialPlan:
        plan, trial = self._beginning.start(number)
        self._prefixes.begins(number)
        self.listeners.tell(TrialStarted(self._history_of(trial)))
        return plan

    def _end_paused_at_the_end(self) -> None:
        """Prune what is still paused once the search has nothing left that could change that."""
        if not self.paused or self._at_once or self._roll.searching:
            return
        if not self._roll.outside.issuperset(self.interrupted):
            return
        late = self.out_of_time
        if late or self._search.spent or (self._search.over and self._pausing.next is None):
            for number in self.paused:
                self._end_paused(number, "until the sweep's hours were over" if late else "")

    def _end_paused(self, number: int, why: str) -> None:
        self._pausing.end(number, why)
        self.listeners.tell(TrialEnded(self.history(number)))
