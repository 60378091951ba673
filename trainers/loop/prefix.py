"""What was trained so far, as plain data: whether another trial's beginning is this one's as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lossweep.spaces.files.canonical import key_of
from lossweep.spaces.losses.terms import imported_terms
from lossweep.spaces.schedules.common_prefix import evaluates, identity, measurements, needs_metrics
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan

VERSIONS: Final = (2, 1)
"""Of training, the newest first. One is added when the same plan would train differently, so that no
checkpoint of before is gone on from; what was trained to its end is found under the earlier ones."""

MOST_WAYS: Final = 300
"""Ways through a schedule that are followed side by side to name what may have been trained on them."""


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


def address(history: Sequence[TrainedEpoch]) -> str:
    """The name of a trained prefix: equal for equal ones, of whichever trial."""
    return _named([[epoch.phase, epoch.epoch_in_phase, epoch.evaluation is not None] for epoch in history])


def _named(trained: Sequence[object]) -> str:
    return key_of(trained)[:20]


def possible_addresses(plan: TrialPlan) -> frozenset[str] | None:
    """The addresses of all that a trial may have trained on its way, whatever is measured.

    So that among the checkpoints of all trials with its seed only its own prefixes need be opened.

    Returns:
        None when there are too many ways.
    """
    ways: list[tuple[ScheduleCursor, tuple[list[object], ...]]] = [(ScheduleCursor.start(plan.schedule), ())]
    found: set[str] = set()
    while ways and len(ways) <= MOST_WAYS:
        further = {}
        for cursor, past in ways:
            for metrics in measurements(cursor):
                after = cursor.advance(metrics)
                measured = metrics is not None or evaluates(cursor, after, plan.training.evaluate_every)
                trained = (*past, [identity(cursor.current, plan.code), cursor.epochs_in_phase, measured])
                name = _named(trained)
                if measured:
                    found.add(name)
                if not after.finished:
                    place = after.phase, after.epochs_in_phase, after.exhausted
                    further[name, place] = after, trained
        ways = list(further.values())
    return None if ways else frozenset(found)


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
        if evaluation and epoch.trained_by == plan.number:
            evaluation = replace(evaluation, trained_by=None)
        elif evaluation:
            evaluation = replace(evaluation, seconds=0.0, spent={}, trained_by=epoch.trained_by)
        own.append(replace(epoch, evaluation=evaluation))
        cursor = after
    return cursor, tuple(own)


def advanced(plan: TrialPlan, cursor: ScheduleCursor, evaluation: Evaluation | None) -> ScheduleCursor | None:
    """Where the schedule stands an epoch later; None when this plan evaluates there and the other did not."""
    if needs_metrics(cursor):
        return cursor.advance(evaluation.metrics) if evaluation else None
    after = cursor.advance(None)
    return (
        after if evaluates(cursor, after, plan.training.evaluate_every) == (evaluation is not None) else None
    )


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
