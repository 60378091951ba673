"""How simple a schedule is: what ties are decided by."""

from __future__ import annotations

from lossweep.spaces.losses.terms import Compound, Loss, PerObject
from lossweep.spaces.schedules.controls import is_plain
from lossweep.spaces.schedules.schedule import LossSchedule


def complexity(schedule: LossSchedule) -> tuple[int, int, int, int]:
    """Return a schedule's complexity, to be compared: plain cross-entropy first, then fewer of everything.

    Returns:
        Whether it is more than plain cross-entropy, its phases with the cycles written out, its loss terms
        (one around another is one more), and its settings beyond a constant rate (switches by a metric,
        shapes, warm-ups, ramps).
    """
    phases = schedule.unrolled()
    terms = sum(_terms(phase.loss) for phase in schedule.phases)
    settings = sum(
        (phase.until is not None) + (phase.shape != "constant") + bool(phase.warmup_steps) + phase.ramps
        for phase in schedule.phases
    )
    return int(not is_plain(schedule)), len(phases), terms, settings


def _terms(loss: Loss) -> int:
    if isinstance(loss, Compound):
        return sum(_terms(part.loss) for part in loss.sum)
    return 1 + _terms(loss.loss) if isinstance(loss, PerObject) else 1
