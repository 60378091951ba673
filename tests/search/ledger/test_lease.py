from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from small_sweeps import PRIOR, spec

from lossweep.search.ledger import Ledger
from lossweep.search.ledger import lease as lease_module
from lossweep.search.ledger.lease import EXPIRES_AFTER, Holder, Lease, LeaseHeld, LeaseLost, holder_of
from lossweep.search.running.driver import create_sweep
from lossweep.search.study.sweep_state import StopKind


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    create_sweep(ledger, spec(), PRIOR)
    yield ledger
    ledger.close()


def _ignore(reason: str, kind: StopKind) -> None:
    pass


def test_a_second_driver_is_refused_by_name(ledger: Ledger) -> None:
    with Lease(ledger, "small", _ignore):
        with pytest.raises(LeaseHeld) as caught, Lease(ledger, "small", _ignore):
            pass
        for word in (f"process {os.getpid()}", "since 20", "lossweep stop small"):
            assert word in str(caught.value)
        assert caught.value.exit_code == 2, "the user's to solve, not an error of ours"
    assert holder_of(ledger, "small") == (None, False)
    with Lease(ledger, "small", _ignore):
        pass


def test_a_dead_drivers_lease_is_taken_at_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        born = lease_module._born(child.pid)
        dead = replace(Holder.here(ledger.now()), pid=child.pid, born=born)
        ledger.swap_lease("small", None, "token", asdict(dead))
        assert holder_of(ledger, "small") == (dead, True)
        # Another process by the same number does not count.
        assert replace(dead, born=born + 1).is_alive() is False
    finally:
        child.kill()
        child.wait()
    assert holder_of(ledger, "small") == (dead, False)
    with caplog.at_level("WARNING"), Lease(ledger, "small", _ignore):
        assert holder_of(ledger, "small")[0] != dead
    assert [record.getMessage() for record in caplog.records] == [
        f"Taking over the lease of a dead driver ({dead})."
    ]
    caplog.clear()
    with caplog.at_level("WARNING"), Lease(ledger, "small", _ignore):
        assert not caplog.records, "nobody had it"


def test_a_silent_driver_elsewhere_expires(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(Holder.here(ledger.now()), host="elsewhere", space="another boot")
    ledger.swap_lease("small", None, "token", asdict(elsewhere))
    assert elsewhere.is_alive() is None
    with pytest.raises(LeaseHeld, match="elsewhere"), Lease(ledger, "small", _ignore):
        pass
    later = ledger.now() + EXPIRES_AFTER + timedelta(seconds=1)
    monkeypatch.setattr(ledger, "now", lambda: later)
    with Lease(ledger, "small", _ignore):
        assert not ledger.beat("small", "token")


def test_a_driver_learns_that_it_was_replaced(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.0)
    said: list[tuple[str, StopKind]] = []
    with Lease(ledger, "small", lambda *asked: said.append(asked)) as lease:
        lease.check()
        _, token, _ = ledger.read_lease("small")
        ledger.swap_lease("small", token, "other", asdict(Holder.here(ledger.now())))
        assert lease.lost.wait(10)
        with pytest.raises(LeaseLost, match="taken over by process"):
            lease.check()
    assert said == [("another driver took the sweep over", StopKind.LEASE_LOST)]
    assert ledger.read_lease("small")[1] == "other"  # not given back: it is not this driver's


def test_a_wish_to_stop_reaches_the_driver(ledger: Ledger) -> None:
    said: list[tuple[str, StopKind]] = []
    with Lease(ledger, "small", lambda *asked: said.append(asked)) as lease:
        ledger.request_stop("small")
        assert lease.stop.wait(10)
    assert said == [("lossweep stop small", StopKind.USER)]


def test_heartbeats_go_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.0)
    with Lease(ledger, "small", _ignore):
        first = ledger.read_lease("small")[2]
        deadline = time.monotonic() + 10
        while ledger.read_lease("small")[2] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
