"""How trials begin, or go on, is written: to the study, to the samplers and to whoever compares trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from lossweep.search.conducting.judging import Judging
from lossweep.search.conducting.roll import Roll
from lossweep.search.conducting.searching import Searching
from lossweep.search.conducting.settings import PlanTemplate, SearchSettings
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import (
    CODE,
    CONFIRMS,
    CONTROL,
    EXTENDS,
    SEED,
    Proposal,
    StudyRecord,
    schedule_of,
)
from lossweep.trainers.plan import TrialPlan


class Beginning:
    """Writes that trials run, and makes their plans.

    Args:
        settings: of the search, with its objective.
        template: what all trials have in common.
        record: the study.
        roll: how each trial stands.
        judging: what compares them.
        search: what learns from them.
        code_of: tells the digests of the user's own parts that a trial would train by now.

    Attributes:
        here: numbers of the trials that were started by this driver.
    """

    def __init__(
        self,
        settings: SearchSettings,
        template: PlanTemplate,
        record: StudyRecord,
        roll: Roll,
        judging: Judging,
        search: Searching,
        code_of: Callable[[TrialPlan], Mapping[str, str]],
    ) -> None:
        self._objective = settings.objective
        self._template = template
        self._record = record
        self._roll = roll
        self._judging = judging
        self._search = search
        self._code_of = code_of
        self.here: set[int] = set()

    def create(self, proposal: Proposal, number: int) -> None:
        """Write a proposal as the trial of this number."""
        written = self._record.create(proposal)
        if written != number:
            raise RuntimeError(f"trial {number} was written as {written}: someone else writes to this study")

    def take_up(self, number: int) -> None:
        """Let an interrupted or a paused trial be running."""
        self._record.resume(number)
        self._search.set_state(number, TrialState.RUNNING)
        self._judging.unpause(number)
        self._roll.kinds[number] = OutcomeKind.RUNNING

    def start(self, number: int) -> tuple[TrialPlan, FrozenTrial]:
        """Return the plan of a running trial that is to be trained from now on, and the trial."""
        trial = self._record.trial(number)
        plan = self.plan_of(trial)
        if plan.code != trial.user_attrs.get(CODE, {}):
            self._record.note_code(number, plan.code or {})
            trial = self._record.trial(number)
        self._roll.kinds[number] = OutcomeKind.RUNNING
        self.here.add(number)
        if trial.user_attrs.get(CONTROL) is not None:
            self._roll.controls.add(number)
        self._judging.add(trial)
        return plan, trial

    def changed(self, number: int) -> tuple[str, ...]:
        """The import paths of a trial's own code that is not what it was trained by."""
        trial = self._record.trial(number)
        then, now = trial.user_attrs.get(CODE, {}), self.plan_of(trial).code or {}
        return tuple(path for path in now if now[path] != then.get(path))

    def plan_of(self, trial: FrozenTrial) -> TrialPlan:
        """The plan of a trial, by the code as it is now."""
        held_out = self._objective if CONFIRMS in trial.user_attrs else None
        control = trial.user_attrs.get(CONTROL)
        schedule = schedule_of(trial)
        epochs = schedule.epochs if EXTENDS in trial.user_attrs else None
        plan = self._template.plan(trial.number, trial.user_attrs[SEED], schedule, held_out, control, epochs)
        return replace(plan, code=self._code_of(plan))
