"""How trials stand in an Optuna study: what is written in which attribute, and reading it back.

Everything that touches the study's storage is here. Optuna's public interface cannot put a running trial back
to WAITING nor address a trial by number without the sampler's help, so this room speaks to the storage
directly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from lossweep.search.study.confirmation import ConfirmationPlan
from lossweep.search.study.decisions import DecisionRecord
from lossweep.search.study.optuna_private import storage_of
from lossweep.search.study.outcomes import Outcome, OutcomeKind
from lossweep.search.study.trial_history import TrialHistory
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import ObjectiveSpec, score

SCHEDULE: Final = "schedule"
SEED: Final = "seed"
CONTROL: Final = "control"
CONFIRMS: Final = "confirms"
"""Of a confirmation trial: the index of its seed."""
EXTENDS: Final = "extends"
"""Of a trial that is another one with more epochs than the budget: the number of that one."""
WARM_START: Final = "warm_start"
"""Of a proposal that is a former winner: its index in the sweep file."""
CODE: Final = "code"
"""Of a trial: digests of the user's own parts that it trains by. Of the study: of all, as last driven."""
OUTDATED: Final = "outdated"
"""Of a trial that ended because the code it had trained by is gone: it is tried again unasked."""
RETRIES: Final = "retries"
"""Of a trial that tries a failed one again: the number of that one, which stays as it ended."""
CONFIRMATIONS: Final = "confirmations"
"""Of the study: the plans of its confirmations."""
STARTED: Final = "started"
END: Final = "end"
UNSEARCHED: Final = "confirmation"
"""The constraint that a trial of a confirmation, or one with more epochs than the others, violates: Optuna's
``best_trial`` is to be one of the search."""
DIVERGED: Final = "diverged"
"""The constraint that a diverged trial violates; the sooner it diverged, the more."""
PAUSED: Final = "paused"
"""Of a trial as samplers see it: it is pruned to them only as long as it is paused."""

CONSTRAINT_PREFIX: Final = "constraints:"
"""Of Optuna's names of the attributes that hold by how much a constraint is violated."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial before it is written: what is to be trained, and the Optuna parameters it was made of."""

    schedule: LossSchedule
    seed: int
    control: str | None = None
    confirms: int | None = None
    warm_start: int | None = None
    retries: int | None = None
    extends: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    system_attributes: Mapping[str, Any] = field(default_factory=dict)


class StudyRecord:
    """The trials of one Optuna study, by number."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._storage = storage_of(study)
        self._id = self._storage.get_study_id_from_name(study.study_name)

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of number; not to be changed."""
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def trial(self, number: int) -> FrozenTrial:
        """One trial as it stands.

        Raises:
            KeyError: when there is no such trial.
        """
        return self._storage.get_trial(self._trial_id(number))

    def create(self, proposal: Proposal) -> int:
        """Write a proposal as a running trial, in one transaction, and return its number."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(proposal.parameters),
            distributions=dict(proposal.distributions),
            user_attrs={
                SCHEDULE: proposal.schedule.plain(),
                SEED: proposal.seed,
                STARTED: datetime.now(UTC).isoformat(),
                **({CONTROL: proposal.control} if proposal.control is not None else {}),
                **({CONFIRMS: proposal.confirms} if proposal.confirms is not None else {}),
                **({WARM_START: proposal.warm_start} if proposal.warm_start is not None else {}),
                **({RETRIES: proposal.retries} if proposal.retries is not None else {}),
                **({EXTENDS: proposal.extends} if proposal.extends is not None else {}),
            },
            system_attrs=dict(proposal.system_attributes),
        )
        trial_id = self._storage.create_new_trial(self._id, template_trial=template)
        return self._storage.get_trial_number_from_id(trial_id)

    def confirmations(self) -> tuple[ConfirmationPlan, ...]:
        """The plans of its confirmations, oldest first."""
        return plans_of(self._storage.get_study_user_attrs(self._id))

    def plan_confirmation(self, plan: ConfirmationPlan) -> None:
        """Write the plan of one more confirmation."""
        plans = [known.plain() for known in self.confirmations()]
        self._storage.set_study_user_attr(self._id, CONFIRMATIONS, [*plans, plan.plain()])

    def report(self, number: int, step: int, value: float) -> None:
        """Write an intermediate value."""
        self._storage.set_trial_intermediate_value(self._trial_id(number), step, value)

    def resume(self, number: int) -> None:
        """Let an interrupted or a paused trial run again."""
        self._storage.set_trial_state_values(self._trial_id(number), TrialState.RUNNING)

    def note_code(self, number: int, code: Mapping[str, str]) -> None:
        """Write which code a trial trains by."""
        self._storage.set_trial_user_attr(self._trial_id(number), CODE, dict(code))

    def note_outdated(self, number: int) -> None:
        """Write that a trial is about to end because its code is gone."""
        self._storage.set_trial_user_attr(self._trial_id(number), OUTDATED, True)

    def interrupt(
        self, number: int, outcome: Outcome, violations: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """Mark a running trial as interrupted or paused: neither running nor finished."""
        self._end(number, outcome, violations)
        self._storage.set_trial_state_values(self._trial_id(number), TrialState.WAITING)

    def finish(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float] | None,
        violations: Mapping[str, float],
    ) -> None:
        """End a running or a paused trial. The state is written last: until then it counts as unfinished."""
        self._end(number, outcome, violations)
        self._storage.set_trial_state_values(self._trial_id(number), outcome.kind.optuna_state, values)

    def _end(self, number: int, outcome: Outcome, violations: Mapping[str, float]) -> None:
        end = {
            "outcome": outcome.kind.value,
            "reason": outcome.reason,
            "figures": {key: jsonable(value) for key, value in outcome.figures.items()},
            "traceback": outcome.traceback,
        }
        self._storage.set_trial_user_attr(self._trial_id(number), END, end)
        for name, violation in violations.items():
            self._storage.set_trial_system_attr(
                self._trial_id(number), f"{CONSTRAINT_PREFIX}{name}", violation
            )

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def failed_for_good(trials: Sequence[FrozenTrial]) -> tuple[FrozenTrial, ...]:
    """Return the failed trials that no other one tries again, in order of number."""
    retried = {trial.user_attrs.get(RETRIES) for trial in trials}
    return tuple(t for t in trials if t.state is TrialState.FAIL and t.number not in retried)


def plans_of(attributes: Mapping[str, Any]) -> tuple[ConfirmationPlan, ...]:
    """Read the plans of a study's confirmations from its attributes."""
    return tuple(ConfirmationPlan.from_plain(plan) for plan in attributes.get(CONFIRMATIONS, ()))


def jsonable(value: float) -> float | str:
    """Return a number as JSON can hold it: non-finite ones, which are evidence, as words."""
    return value if math.isfinite(value) else str(value)


def outcome_of(trial: FrozenTrial) -> Outcome:
    """Return how a trial ended, or that it runs; an unfinished one that nobody runs is interrupted."""
    if trial.state is TrialState.RUNNING:
        return Outcome(OutcomeKind.RUNNING)
    end = trial.user_attrs.get(END)
    if end is not None and trial.state is TrialState.WAITING and end["outcome"] == OutcomeKind.PRUNED:
        end = {**end, "outcome": OutcomeKind.PAUSED}  # its driver died before it could write the state
    if end is None or OutcomeKind(end["outcome"]).optuna_state is not trial.state:
        fallback = {
            TrialState.WAITING: OutcomeKind.INTERRUPTED,
            TrialState.COMPLETE: OutcomeKind.COMPLETED,
            TrialState.PRUNED: OutcomeKind.PRUNED,
            TrialState.FAIL: OutcomeKind.FAILED,
        }
        return Outcome(fallback[trial.state])
    return Outcome(
        kind=OutcomeKind(end["outcome"]),
        reason=end["reason"],
        figures={key: float(value) for key, value in end["figures"].items()},
        traceback=end["traceback"],
    )


def schedule_of(trial: FrozenTrial) -> LossSchedule:
    """Return what a trial trains."""
    stored = trial.user_attrs[SCHEDULE]
    return LossSchedule.model_validate_json(json.dumps(stored))


def trial_history(
    trial: FrozenTrial,
    objective: ObjectiveSpec,
    evaluations: Sequence[Evaluation],
    decisions: Sequence[DecisionRecord],
    slots: float = 1.0,
) -> TrialHistory:
    """Return everything recorded of a trial.

    Args:
        trial: as it stands in the study.
        objective: what the score is taken by.
        evaluations: in order of step.
        decisions: in order of time.
        slots: GPUs a trial holds, or 1 when it trains on a CPU.
    """
    outcome = outcome_of(trial)
    scored = score(objective, evaluations)
    started = trial.user_attrs.get(STARTED)
    return TrialHistory(
        number=trial.number,
        schedule=schedule_of(trial),
        seed=trial.user_attrs[SEED],
        control=trial.user_attrs.get(CONTROL),
        parameters=dict(trial.params),
        outcome=outcome.kind,
        reason=outcome.reason,
        score=scored.values[0] if scored else None,
        feasible=scored is not None and scored.feasible and outcome.kind is not OutcomeKind.DIVERGED,
        evaluations=tuple(evaluations),
        decisions=tuple(decisions),
        started=datetime.fromisoformat(started) if started else _utc(trial.datetime_start),
        ended=_utc(trial.datetime_complete),
        gpu_seconds=slots * sum(e.seconds for e in evaluations),
        traceback=outcome.traceback,
        scored_step=scored.evaluation.step if scored else None,
        values=scored.values if scored else (),
        confirms=trial.user_attrs.get(CONFIRMS),
        warm_start=trial.user_attrs.get(WARM_START),
        retries=trial.user_attrs.get(RETRIES),
        extends=trial.user_attrs.get(EXTENDS),
        code=trial.user_attrs.get(CODE, {}),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna writes local time without saying so."""
    return moment.astimezone(UTC) if moment else None
