"""A trainer around another one that shares prefixes in memory: for simulating what a sweep's epochs cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lossweep.spaces.files.canonical import key_of
from lossweep.spaces.schedules.common_prefix import identity
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

if TYPE_CHECKING:  # it pulls torch in, which simulations do without
    from lossweep.trainers.trial import TrialTrainer


@dataclass(slots=True)
class SharingTrainer:
    """A `trainers.trial.TrialTrainer` whose trials go on from what others trained, as real ones do.

    Attributes:
        inner: trains. Trials of one seed report the same figures as long as they train alike, after every
            epoch.
    """

    inner: TrialTrainer
    _trained_by: dict[str, int] = field(default_factory=dict, init=False)

    def prepare(self) -> None:
        """What the inner one does."""
        self.inner.prepare()

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        """Yield the evaluations of a trial; those of epochs that another one had trained took no time."""
        cursor, past = ScheduleCursor.start(plan.schedule), str(plan.seed)
        for evaluation in self.inner.trial(plan):
            if not evaluation.metrics:  # rejected before training
                yield evaluation
                return
            past = key_of([past, identity(cursor.current, plan.code), cursor.epochs_in_phase])
            cursor = cursor.advance(evaluation.metrics)
            by = self._trained_by.get(past, plan.number)
            if evaluation.verdict is None:  # of what has diverged no checkpoint is kept
                self._trained_by[past] = by
            shared = by != plan.number and evaluation.verdict is None
            yield replace(evaluation, seconds=0.0, spent={}, trained_by=by) if shared else evaluation
