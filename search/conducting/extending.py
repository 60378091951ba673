"""A trial that is given more epochs than the sweep's budget: which trial of the study that is."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from lossweep.search.conducting.settings import ExtendSettings
from lossweep.search.study.record import CONTROL, EXTENDS, SEED, Proposal, StudyRecord, schedule_of
from lossweep.spaces.schedules.extending import extended


class Extending:
    """Hands out the trial that extends another one, unless it was begun before.

    It has the other one's seed, so that it goes on from its checkpoints.

    Args:
        asked: which trial, and how far; None for none.
        record: of the study.
        budget: of epochs, of a trial that extends none.
    """

    def __init__(self, asked: ExtendSettings | None, record: StudyRecord, budget: int) -> None:
        self._asked, self._record, self._budget = asked, record, budget
        self._taken = False

    def next(self) -> Proposal | None:
        """Return the trial that is to be begun; None where nothing is asked for, or it was begun before."""
        if self._asked is None or self._taken or self.begun:
            return None
        trial = self._record.trial(self._asked.trial)
        schedule = schedule_of(trial)
        return Proposal(
            extended(schedule.with_budget(schedule.epochs or self._budget), self._asked.epochs),
            trial.user_attrs[SEED],
            trial.user_attrs.get(CONTROL),
            extends=trial.number,
        )

    def taken(self, proposal: Proposal) -> None:
        """The proposal was written to the database: if it fails, that is the end of it."""
        self._taken = proposal.extends is not None

    @property
    def begun(self) -> frozenset[int]:
        """The number of the trial that is asked for, if it was begun and has not failed."""
        trials = self._record.trials()
        return frozenset(t.number for t in trials if t.state is not TrialState.FAIL and self._asks_for(t))

    def _asks_for(self, trial: FrozenTrial) -> bool:
        asked = self._asked
        if asked is None or trial.user_attrs.get(EXTENDS) != asked.trial:
            return False
        return schedule_of(trial).epochs == asked.epochs
