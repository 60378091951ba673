"""Which sweeps share a cluster, by their leases alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_sweeps import PRIOR, spec, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.ledger.claims import active_sweeps
from lossweep.search.ledger.lease import Lease
from lossweep.search.running.driver import create_sweep


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(workspace(tmp_path).database_url)
    for name, priority in (("a", 1.0), ("b", 2.0), ("c", 1.0), ("d", 1.0)):
        create_sweep(ledger, spec(name, resources={"priority": priority}), PRIOR)
    return ledger


def test_sweeps_with_a_living_driver_on_a_cluster_are_active(ledger: Ledger) -> None:
    with (
        Lease(ledger, "a", print, "head:1"),
        Lease(ledger, "b", print, "head:1"),
        Lease(ledger, "c", print, "other:1"),
        Lease(ledger, "d", print),
    ):
        active = {each.name: each for each in active_sweeps(ledger, "head:1")}
        assert active.keys() == {"a", "b"}
        assert active["b"].resources["priority"] == 2.0
    assert active_sweeps(ledger, "head:1") == ()


def test_attempts_count_from_when_the_newest_came(ledger: Ledger) -> None:
    with Lease(ledger, "a", print, "head:1"):
        for trial in range(3):
            ledger.attempt_log("a").start(trial, None)
        assert [each.attempts for each in active_sweeps(ledger, "head:1")] == [3]
        with Lease(ledger, "b", print, "head:1"):
            ledger.attempt_log("a").start(3, None)
            assert {each.name: each.attempts for each in active_sweeps(ledger, "head:1")} == {"a": 1, "b": 0}


def test_a_dead_drivers_lease_is_none(ledger: Ledger) -> None:
    lease = {"host": "gone", "pid": 1, "born": 1, "space": "", "since": "2026-01-01T00:00:00+00:00"}
    ledger.swap_lease("a", None, "token", {**lease, "cluster": "head:1"})
    assert [each.name for each in active_sweeps(ledger, "head:1")] == ["a"]  # its heartbeat is fresh
    with Lease(ledger, "b", print, "head:1"):
        pass
    from sqlalchemy import update

    from lossweep.search.ledger.tables import SweepRow

    long_ago = update(SweepRow).values(heartbeat=ledger.now().replace(year=2000))
    ledger.do(lambda session: session.execute(long_ago))
    assert active_sweeps(ledger, "head:1") == ()
