"""The confirmation stage of a sweep: what of its plan is still to be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from lossweep.search.conducting.settings import ConfirmSettings
from lossweep.search.study.confirmation import ConfirmationPlan, Training, plan_confirmation
from lossweep.search.study.record import CONFIRMS, CONTROL, Proposal, StudyRecord, schedule_of
from lossweep.search.study.trial_history import TrialHistory
from lossweep.spaces.seeds import short_seed


class Confirming:
    """Hands out the trainings of a confirmation, planned once and kept in the study.

    The seeds follow from the sweep's seed and their index alone, and are no seed of the search; a schedule
    that an earlier confirmation trained with one of them is not trained again, nor the test split read again.

    Args:
        settings: what is asked for; None for nothing but what was planned already.
        record: of the study.
        seed: the sweep's.
        directions: ``maximize`` or ``minimize``, one a metric of the objective.
        own_controls: names of the user's own baselines.
        trained_otherwise: those of them that have training settings of their own.
        histories: gives the trials of the search.
    """

    def __init__(
        self,
        settings: ConfirmSettings | None,
        record: StudyRecord,
        seed: int,
        directions: tuple[str, ...],
        own_controls: Sequence[str],
        trained_otherwise: frozenset[str],
        histories: Callable[[], Sequence[TrialHistory]],
    ) -> None:
        self._settings = settings
        self._record = record
        self._seed = seed
        self._directions = directions
        self._own_controls = tuple(own_controls)
        self._trained_otherwise = trained_otherwise
        self._histories = histories
        self._started = {_training(t) for t in record.trials() if CONFIRMS in t.user_attrs}
        plans = record.confirmations()
        self._plan: ConfirmationPlan | None = plans[-1] if plans else None
        self._failed: dict[Training, int] = {}
        self._looked = False

    @property
    def plan(self) -> ConfirmationPlan | None:
        """The newest plan; None while nothing is to be confirmed."""
        return self._plan

    def next(self) -> Proposal | None:
        """Return the next training that was not started, if any. To be called after the search."""
        self._look()
        if self._plan is None:
            return None
        for training in self._plan.trainings():
            if training not in self._started:
                seed = short_seed(self._seed, "confirmation", training.seed)
                return Proposal(
                    training.schedule,
                    seed,
                    training.baseline,
                    confirms=training.seed,
                    retries=self._failed.get(training),
                )
        return None

    def try_again(self, failed: FrozenTrial) -> None:
        """Let a failed training come again, if the plan asks for it."""
        training = _training(failed)
        self._started.discard(training)
        self._failed[training] = failed.number

    def taken(self, proposal: Proposal) -> None:
        """A proposal was written to the database."""
        assert proposal.confirms is not None
        self._started.add(Training(proposal.schedule, proposal.confirms, proposal.control))

    def _look(self) -> None:
        """Plan a confirmation, once a driver, unless the newest plan is the one asked for."""
        if self._looked:
            return
        self._looked = True
        settings, trials = self._settings, self._histories()
        if settings is None:
            return
        # A driver that goes on leaves a plan alone until the search has gone on as well.
        if self._plan is not None and not settings.at_once and self._plan.searched == len(trials):
            return
        plan = plan_confirmation(
            trials,
            self._directions,
            top=settings.top,
            seeds=max(settings.seeds, self._plan.seeds if self._plan else 0),  # what was seen stays seen
            margin=settings.margin,
            own_controls=self._own_controls,
            trained_otherwise=self._trained_otherwise,
            reads_before=len(self._started),
        )
        if plan is None:
            return
        old = self._plan
        asked = (plan.arms, plan.seeds, plan.margin)
        if old is None or asked != (old.arms, old.seeds, old.margin):
            self._record.plan_confirmation(plan)
            self._plan = plan


def _training(trial: FrozenTrial) -> Training:
    return Training(schedule_of(trial), int(trial.user_attrs[CONFIRMS]), trial.user_attrs.get(CONTROL))
