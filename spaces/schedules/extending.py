"""A schedule with more epochs than it had: what of it goes on, and in which words."""

from __future__ import annotations

from lossweep.spaces.schedules.schedule import LossSchedule, Phase


def extended(schedule: LossSchedule, epochs: int) -> LossSchedule:
    """Return what a schedule trains when it is given more epochs.

    Whatever was trained stays the beginning of it, as far as that is possible: cycles are followed by
    further ones, and a last phase of constant rate goes on, as it does in any training that has epochs left.
    A last phase that is shaped over its length (a cosine, a drop, a ramp) would go on with what it ended
    with, such as a hundredth of its rate: it is stretched to the new end instead, and trains otherwise from
    its start.

    Args:
        schedule: with its budget.
        epochs: the new budget.

    Raises:
        ValueError: unless that is more than the schedule's own.
    """
    if epochs <= schedule.budget:
        raise ValueError(f"epochs must be above {schedule.budget}, but got {epochs=}")
    if schedule.cycles > 1:
        shortest = sum(
            phase.until.epochs[0] if phase.until else phase.most_epochs for phase in schedule.phases
        )
        cycles = max(schedule.cycles, -(-epochs // shortest))
        return LossSchedule(phases=schedule.phases, cycles=cycles, epochs=epochs)
    *before, last = schedule.phases
    length = epochs - sum(phase.most_epochs for phase in before)
    if _is_shaped(last) and length > last.most_epochs:
        last = _stretched(last, length)
    return LossSchedule(phases=(*before, last), epochs=epochs)


def extension_words(before: LossSchedule, after: LossSchedule) -> str:
    """Return what `extended` made of a schedule, as a clause: ``its last phase goes on``."""
    if before.cycles > 1:
        more = after.cycles - before.cycles
        return (
            f"{more} further cycle{'s' * (more > 1)} follow{'s' * (more == 1)}"
            if more
            else "its cycles go on"
        )
    if after.phases == before.phases:
        return f"its last phase, {before.phases[-1].loss_name}, goes on"
    last = before.phases[-1]
    shape = f"a {last.shape}" if last.shape != "constant" else "a ramp"
    return (
        f"its last phase, {last.loss_name}, is shaped over its length ({shape}): it is stretched "
        f"from {last.most_epochs} to {after.phases[-1].most_epochs} epochs, and trained anew"
    )


def _least_epochs(phase: Phase) -> int:
    return phase.until.epochs[0] if phase.until else phase.most_epochs


def _is_shaped(phase: Phase) -> bool:
    return phase.shape != "constant" or phase.ramps


def _stretched(phase: Phase, epochs: int) -> Phase:
    if phase.until is None:
        return phase.model_copy(update={"epochs": epochs})
    until = phase.until.model_copy(update={"epochs": (phase.until.epochs[0], epochs)})
    return phase.model_copy(update={"until": until})
