"""How far two schedules train alike: what of a phase decides how it trains, and how many epochs are common.

Pure: it follows from the schedules alone. What was trained is retraced by the same rules in
`trainers.loop.prefix`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product

from lossweep.spaces.files.canonical import canonical_json
from lossweep.spaces.losses.terms import imported_terms
from lossweep.spaces.schedules.cursor import ScheduleCursor
from lossweep.spaces.schedules.schedule import LossSchedule, Phase, Until

_Pair = tuple[ScheduleCursor, ScheduleCursor]


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


def needs_metrics(cursor: ScheduleCursor) -> bool:
    """Whether the cursor cannot tell what follows this epoch without an evaluation."""
    until = cursor.current.until
    if until and not cursor.exhausted and until.epochs[0] <= cursor.epochs_in_phase + 1 < until.epochs[1]:
        return True
    before = _before(cursor)
    return before is not None and before.back_below is not None


def evaluates(cursor: ScheduleCursor, after: ScheduleCursor, every: int) -> bool:
    """Whether an epoch ends with an evaluation, which is due ``every`` epochs."""
    return after.epoch % every == 0 or after.phase_ended or after.cycle_ended or after.finished


def common_epochs(first: LossSchedule, second: LossSchedule, evaluate_every: int = 1) -> int:
    """How many epochs from the start two schedules surely train alike, with one seed, model and data.

    Surely: whatever is measured on the way. Where both wait for the same metric in the same way, they go on
    together; where they don't, they part at the first epoch after which some value would part them.

    Args:
        first: with its budget.
        second: with its own.
        evaluate_every: epochs between evaluations. Only evaluated epochs have a checkpoint to go on from, and
            where but one of the two evaluates, the other cannot take its epochs over.

    Returns:
        Epochs, up to the last one that has a checkpoint that either can go on from.
    """
    mine, other = _identities(first), _identities(second)
    start = ScheduleCursor.start(first), ScheduleCursor.start(second)
    reached: dict[tuple[object, ...], _Pair] = {(): start}
    shared = epoch = 0
    while all(_alike(pair, mine, other) for pair in reached.values()):
        after: dict[tuple[object, ...], _Pair] = {}
        kept = True
        for pair in reached.values():
            for metrics in measurements(*pair):
                then = pair[0].advance(metrics), pair[1].advance(metrics)
                seen = tuple(
                    needs_metrics(before) or evaluates(before, now, evaluate_every)
                    for before, now in zip(pair, then, strict=True)
                )
                if seen[0] != seen[1]:
                    return shared
                kept = kept and seen[0]
                after[tuple((now.phase, now.epochs_in_phase, now.exhausted) for now in then)] = then
        reached, epoch = after, epoch + 1
        shared = epoch if kept else shared
    return shared


def _alike(pair: _Pair, mine: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether both train the same in the epoch that follows, if there is one for both."""
    first, second = pair
    return (
        not first.finished
        and not second.finished
        and first.epochs_in_phase == second.epochs_in_phase
        and mine[first.phase % len(mine)] == other[second.phase % len(other)]
    )


def measurements(*cursors: ScheduleCursor) -> Iterator[dict[str, float] | None]:
    """What an epoch may measure that decides how it goes on: values at, above and below each level.

    None where none of the cursors waits for anything.
    """
    if not any(needs_metrics(cursor) for cursor in cursors):
        yield None
        return
    levels: dict[str, set[float]] = {}
    for cursor in cursors:
        if until := cursor.current.until:
            levels.setdefault(until.metric, set()).add(until.at_least)
        if (before := _before(cursor)) and before.back_below is not None:
            levels.setdefault(before.metric, set()).add(before.back_below)
    around = [
        sorted({value for level in found for value in (level, *_beside(level))}) for found in levels.values()
    ]
    for values in product(*around):
        yield dict(zip(levels, values, strict=True))


def _beside(level: float) -> tuple[float, float]:
    return math.nextafter(level, -math.inf), math.nextafter(level, math.inf)


def _before(cursor: ScheduleCursor) -> Until | None:
    """What the phase before waited for: training may go back to it."""
    phases = cursor.schedule.phases
    return phases[(cursor.phase - 1) % len(phases)].until if cursor.phase else None


@lru_cache(maxsize=4096)
def _identities(schedule: LossSchedule) -> tuple[str, ...]:
    return tuple(identity(phase) for phase in schedule.phases)
