"""Which constraints a trial violates as it ends: what samplers that heed constraints learn from."""

from __future__ import annotations

from collections.abc import Sequence

from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import DIVERGED, UNSEARCHED
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import ObjectiveSpec, Score


def violations(
    objective: ObjectiveSpec,
    kind: OutcomeKind,
    scored: Score | None,
    evaluations: Sequence[Evaluation],
    outside: bool,
) -> dict[str, float]:
    """Return by how much each constraint is violated; positive when it is.

    Args:
        objective: with its constraints.
        kind: how the trial ends. One that diverged violates a constraint of its own, the more the sooner it
            did; one that failed says nothing of its schedule.
        scored: its score, if it has one.
        evaluations: what it reported.
        outside: whether it is none of the search, and so never to be Optuna's best.
    """
    found = dict(scored.violations) if scored and kind is not OutcomeKind.FAILED else {}
    if outside:
        found[UNSEARCHED] = 1.0
    if kind is OutcomeKind.DIVERGED:
        unmeasured = {str(constraint): 1.0 for constraint in objective.constraints}
        found = unmeasured | found
        found[DIVERGED] = 2.0 - (evaluations[-1].share if evaluations else 0.0)
    return found
