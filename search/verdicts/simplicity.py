"""How simple a schedule is: what ties are decided by."""

from __future__ import annotations

from lossweep.spaces.losses.terms import Compound
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.schedule import LossSchedule


def complexity(schedule: LossSchedule) -> tuple[int, int, int, int]:
    """Return a schedule's complexity, to be compared: plain cross-entropy first, then fewer of everything.

    Returns:
        Whether it is more than plain cross-entropy, its phases with the cycles written out, its loss terms,
        and its settings beyond a constant rate (switches by a metric, shapes, warm-ups, ramps).
    """
    phases = schedule.unrolled()
    terms = sum(len(phase.loss.sum) if isinstance(phase.loss, Compound) else 1 for phase in schedule.phases)
    settings = sum(
        (phase.until is not None) + (phase.shape != "constant") + bool(phase.warmup_steps) + phase.ramps
        for phase in schedule.phases
    )
    return int(not is_plain(schedule)), len(phases), terms, settings
