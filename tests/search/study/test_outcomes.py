from __future__ import annotations

import pytest
from optuna.trial import TrialState

from lossweep.search.study.outcomes import OutcomeKind


@pytest.mark.parametrize(
    ("kind", "state", "status", "final"),
    [
        ("running", TrialState.RUNNING, "RUNNING", False),
        ("completed", TrialState.COMPLETE, "FINISHED", True),
        ("pruned", TrialState.PRUNED, "FINISHED", True),
        ("diverged", TrialState.PRUNED, "FINISHED", True),
        ("failed", TrialState.FAIL, "FAILED", True),
        ("interrupted", TrialState.WAITING, "KILLED", False),
    ],
)
def test_the_table(kind: str, state: TrialState, status: str, final: bool) -> None:
    outcome = OutcomeKind(kind)
    assert (outcome.optuna_state, outcome.mlflow_status, outcome.is_final) == (state, status, final)


def test_the_table_is_whole() -> None:
    assert len({(kind.optuna_state, kind.mlflow_status) for kind in OutcomeKind}) == len(OutcomeKind) - 1
