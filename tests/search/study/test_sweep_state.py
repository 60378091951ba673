from __future__ import annotations

import pytest

from lossweep.search.study.sweep_state import StopKind, SweepState

ENDS = {SweepState.FINISHED, SweepState.INTERRUPTED, SweepState.STOPPED, SweepState.FAILED}


@pytest.mark.parametrize("before", SweepState)
@pytest.mark.parametrize("after", SweepState)
def test_which_state_may_follow_upon_which(before: SweepState, after: SweepState) -> None:
    legal = (
        before is after
        or (after is SweepState.RUNNING)  # taken up, first or again
        or (before is SweepState.RUNNING and after in ENDS)
    )
    assert before.may_become(after) == legal


def test_only_a_user_stops_a_sweep_and_only_a_failure_fails_it() -> None:
    states = {kind: kind.leads_to for kind in StopKind}
    assert states.pop(StopKind.USER) is SweepState.STOPPED
    assert states.pop(StopKind.FAILURE) is SweepState.FAILED
    assert set(states.values()) == {SweepState.INTERRUPTED}


def test_what_is_stored_and_printed_stays() -> None:
    assert [str(state) for state in SweepState] == [
        "created",
        "running",
        "finished",
        "interrupted",
        "stopped",
        "failed",
    ]
