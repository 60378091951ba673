"""What a trial violates as it ends."""

from __future__ import annotations

import pytest

from lossweep.search.conducting.violations import violations
from lossweep.search.study.outcomes import OutcomeKind
from lossweep.search.study.record import DIVERGED, UNSEARCHED
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.scoring.objectives import Constraint, ObjectiveSpec, Score

FLOOR = Constraint(metric="recall", at_least=0.8)
OBJECTIVE = ObjectiveSpec(metric="precision", constraints=(FLOOR,))
HALF = Evaluation(40, epoch=4, epochs=8, phase=0, cycle=0, loss_name="", learning_rate=1e-3, metrics={})
SCORED = Score((0.9,), {"recall >= 0.8": 0.25}, HALF)


@pytest.mark.parametrize(
    ("kind", "scored", "evaluations", "violated"),
    [
        (OutcomeKind.COMPLETED, SCORED, (HALF,), {"recall >= 0.8": 0.25}),
        (OutcomeKind.PRUNED, SCORED, (HALF,), {"recall >= 0.8": 0.25}),
        (OutcomeKind.COMPLETED, None, (), {}),
        # A failure says nothing of its schedule, however it stood.
        (OutcomeKind.FAILED, SCORED, (HALF,), {}),
        # The sooner it diverged, the more: half of its budget spent, and none.
        (OutcomeKind.DIVERGED, SCORED, (HALF,), {"recall >= 0.8": 0.25, DIVERGED: 1.5}),
        (OutcomeKind.DIVERGED, None, (HALF,), {"recall >= 0.8": 1.0, DIVERGED: 1.5}),
        (OutcomeKind.DIVERGED, None, (), {"recall >= 0.8": 1.0, DIVERGED: 2.0}),
    ],
)
def test_what_is_violated(
    kind: OutcomeKind, scored: Score | None, evaluations: tuple[Evaluation, ...], violated: dict[str, float]
) -> None:
    assert violations(OBJECTIVE, kind, scored, evaluations, outside=False) == violated
    confirmed = violations(OBJECTIVE, kind, scored, evaluations, outside=True)
    assert confirmed.pop(UNSEARCHED) > 0, "never Optuna's best"
    assert confirmed == violated
