"""What was trained so far, as plain data: whether another trial's beginning is this one's as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lossweep.spaces.files.canonical import canonical_json, key_of
from lossweep.spaces.losses.terms import imported_terms
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import Phase
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

VERSIONS: Final = (2, 1)
"""Of training, the newest first. One is added when the same plan would train differently, so that no
checkpoint of before is gone on from; what was trained to its end is found under the earlier ones."""


@dataclass(frozen=True, slots=True)
class TrainedEpoch:
    """One epoch of a trial's past.

    Attributes:
        phase: what of the phase decides how this epoch trains, as canonical JSON.
        epoch_in_phase: its place in the phase, from 0; the optimizer and the guards notice a phase's first
            epoch.
        evaluation: the evaluation at its end, if there was one.
        trained_by: number of the trial that trained it.
    """

    phase: str
    epoch_in_phase: int
    evaluation: Evaluation | None
    trained_by: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        evaluation = self.evaluation.to_dict() if self.evaluation else None
        return {
            "phase": self.phase,
            "epoch_in_phase": self.epoch_in_phase,
            "evaluation": evaluation,
            "trained_by": self.trained_by,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainedEpoch:
        """Read back what `to_dict` wrote."""
        evaluation = data["evaluation"]
        return cls(**{**data, "evaluation": Evaluation.from_dict(evaluation) if evaluation else None})


def identity(phase: Phase, code: Mapping[str, str] | None = None) -> str:
    """What of a phase decides how each of its epochs trains.

    Its length is left out where nothing but its end depends on it, so that the first five epochs of a phase
    are the same, whether it then ends or goes on.

    Args:
        phase: which.
        code: digests of the user's own parts, by import path; those of the phase's losses count.
    """
    data = phase.model_dump(mode="json", exclude={"until", "epochs"})
    own = {term.term for term in imported_terms(phase.loss)} & (code or {}).keys()
    if own:
        data["code"] = {path: (code or {})[path] for path in own}
    if phase.shape != "constant" or phase.ramps:
        data["most_epochs"] = phase.most_epochs
    return canonical_json(data)


def address(history: Sequence[TrainedEpoch]) -> str:
    """The name of a trained prefix: equal for equal ones, of whichever trial."""
    trained = [[epoch.phase, epoch.epoch_in_phase, epoch.evaluation is not None] for epoch in history]
    return key_of(trained)[:20]


def context_key(plan: TrialPlan, *surroundings: str, version: int = VERSIONS[0]) -> str:
    """The name of all that training follows from besides the schedule: data, model, settings, seed.

    Args:
        plan: the trial; neither its number nor its budget counts.
        surroundings: what else does: the data's fingerprint, the kind of device, its precision.
        version: of training; an earlier one to find what was trained then.
    """
    measure = plan.measure.model_dump(mode="json")
    if not plan.measure.own:
        del measure["own"]  # checkpoints from before there were any are gone on from
    guards = plan.guards.model_dump(mode="json", exclude={"rejected"})  # whether a trial trains, not how
    content = {
        "version": version,
        "surroundings": surroundings,
        "seed": plan.seed,
        "micro_batch": plan.micro_batch,
        # Where the data lies does not matter: its fingerprint is among the surroundings.
        "crops": plan.data.model_dump(mode="json", include={"classes", "tile", "crops", "augment"}),
        "model": plan.model.model_dump(mode="json"),
        "guards": guards,
        "training": plan.training.model_dump(mode="json", exclude={"graphs"}),  # they replay the same kernels
        "measure": measure,
    }
    losses = {term.term for phase in plan.schedule.phases for term in imported_terms(phase.loss)}
    # What a phase trains by belongs to the phase: trials with other losses share what came before it.
    if code := {path: digest for path, digest in (plan.code or {}).items() if path not in losses}:
        content["code"] = code
    return key_of(content)[:32]


def needs_metrics(cursor: ScheduleCursor) -> bool:
    """Whether the cursor cannot tell what follows this epoch without an evaluation."""
    phases, until = cursor.schedule.phases, cursor.current.until
    if until and not cursor.exhausted and until.epochs[0] <= cursor.epochs_in_phase + 1 < until.epochs[1]:
        return True
    before = phases[(cursor.phase - 1) % len(phases)].until if cursor.phase else None
    return before is not None and before.back_below is not None


def retrace(
    plan: TrialPlan, history: Iterable[TrainedEpoch]
) -> tuple[ScheduleCursor, tuple[TrainedEpoch, ...]] | None:
    """Follow this plan's schedule along what was trained, perhaps by another trial.

    Returns:
        Where the plan then stands, and the history as this trial would have written it (its own budget,
        cycles and phase ends; an epoch of another trial took this one no time), or None when it would have
        trained otherwise.
    """
    cursor, own = ScheduleCursor.start(plan.schedule), []
    for epoch in history:
        if cursor.finished or (identity(cursor.current, plan.code), cursor.epochs_in_phase) != (
            epoch.phase,
            epoch.epoch_in_phase,
        ):
            return None
        after = advanced(plan, cursor, epoch.evaluation)
        if after is None:
            return None
        evaluation = epoch.evaluation and relabelled(epoch.evaluation, cursor, after, plan.epochs)
        if evaluation and epoch.trained_by != plan.number:
            evaluation = replace(evaluation, seconds=0.0, spent={}, used={})
        own.append(replace(epoch, evaluation=evaluation))
        cursor = after
    return cursor, tuple(own)


def advanced(plan: TrialPlan, cursor: ScheduleCursor, evaluation: Evaluation | None) -> ScheduleCursor | None:
    """Where the schedule stands an epoch later; None when this plan evaluates there and the other did not."""
    if needs_metrics(cursor):
        return cursor.advance(evaluation.metrics) if evaluation else None
    after = cursor.advance(None)
    return after if evaluates(plan, cursor, after) == (evaluation is not None) else None


def evaluates(plan: TrialPlan, cursor: ScheduleCursor, after: ScheduleCursor) -> bool:
    """Whether the epoch from ``cursor`` to ``after`` ends with an evaluation."""
    due = after.epoch % plan.training.evaluate_every == 0
    return due or after.phase_ended or after.cycle_ended or after.finished


def relabelled(
    evaluation: Evaluation, cursor: ScheduleCursor, after: ScheduleCursor, epochs: int
) -> Evaluation:
    """The same figures with this trial's place in its own schedule."""
    return replace(
        evaluation,
        epoch=after.epoch,
        epochs=epochs,
        phase=cursor.phase,
        cycle=cursor.cycle,
        phase_ended=after.phase_ended,
        cycle_ended=after.cycle_ended,
        finished=after.finished,
        held_out=evaluation.held_out if after.finished else None,
    )
