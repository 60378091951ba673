from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

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
        assert lease.lost.wait(60)
        with pytest.raises(LeaseLost, match="taken over by process"):
            lease.check()
    assert said == [("another driver took the sweep over", StopKind.LEASE_LOST)]
    assert ledger.read_lease("small")[1] == "other"  # not given back: it is not this driver's


def test_a_wish_to_stop_reaches_the_driver(ledger: Ledger) -> None:
    said: list[tuple[str, StopKind]] = []
    with Lease(ledger, "small", lambda *asked: said.append(asked)) as lease:
        ledger.request_stop("small")
        assert lease.stop.wait(60)
    assert said == [("lossweep stop small", StopKind.USER)]


def test_a_driver_does_not_stop_by_a_wish_that_was_for_the_one_before(ledger: Ledger) -> None:
    """However long it takes from the lease to the first trial: a heartbeat looks within a second."""
    with Lease(ledger, "small", _ignore) as lease:
        ledger.request_stop("small")
        assert lease.stop.wait(60)
    looks: list[bool] = []
    asked = ledger.stop_requested
    enough = threading.Event()

    def looking(sweep: str) -> bool:
        looks.append(asked(sweep))
        enough.set()
        return looks[-1]

    ledger.stop_requested = looking  # type: ignore[method-assign]
    with Lease(ledger, "small", _ignore) as lease:
        assert enough.wait(60)
        assert not lease.stop.is_set()
    assert not any(looks)


def test_heartbeats_go_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.0)
    with Lease(ledger, "small", _ignore):
        first = ledger.read_lease("small")[2]
        deadline = time.monotonic() + 60
        while ledger.read_lease("small")[2] == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# --- without a database and without waiting ----------------------------------------------------------------


@dataclass
class Book:
    """Where one lease is written, by a clock that a test turns."""

    seconds: float = 0.0
    holder: dict[str, Any] | None = None
    token: str | None = None
    heartbeat: datetime | None = None
    beats: list[float] = field(default_factory=list)
    stop_at: float = math.inf
    away: tuple[float, ...] = ()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def read_lease(self, sweep: str) -> tuple[dict[str, Any] | None, str | None, datetime | None]:
        return self.holder, self.token, self.heartbeat

    def swap_lease(
        self, sweep: str, expected: str | None, token: str | None, holder: dict[str, Any] | None
    ) -> bool:
        if self.token != expected:
            return False
        self.holder, self.token, self.heartbeat = holder, token, self.now()
        return True

    def beat(self, sweep: str, token: str) -> bool:
        if self.seconds in self.away:
            raise ConnectionError("the database is away")
        self.beats.append(self.seconds)
        return self.token == token

    def stop_requested(self, sweep: str) -> bool:
        return self.seconds >= self.stop_at


class Ticks:
    """In place of waiting: each wait turns the clock, until it is over."""

    def __init__(self, book: Book, until: float) -> None:
        self._book, self._until = book, until

    def wait(self, seconds: float) -> bool:
        self._book.seconds += seconds
        return self._book.seconds > self._until


def beaten(book: Book, monkeypatch: pytest.MonkeyPatch, until: float) -> tuple[Lease, list[StopKind]]:
    """Let a driver's heart beat for so many seconds of the book's clock."""
    said: list[StopKind] = []
    lease = Lease(book, "small", lambda reason, kind: said.append(kind))
    book.token = book.token or lease.token
    monkeypatch.setattr(lease, "_done", Ticks(book, until))
    monkeypatch.setattr(lease_module.time, "monotonic", lambda: book.seconds)
    lease._beat()
    return lease, said


def test_a_living_driver_beats_several_times_before_it_would_count_as_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = Book()
    lease, said = beaten(book, monkeypatch, 3 * EXPIRES_AFTER.total_seconds())
    silences = [after - before for before, after in pairwise([0.0, *book.beats, book.seconds])]
    assert max(silences) <= EXPIRES_AFTER.total_seconds() / 4
    assert min(silences[:-1]) >= lease_module.BEAT_S  # and no database is asked for more
    assert (said, lease.lost.is_set(), lease.stop.is_set()) == ([], False, False)


def test_a_beat_that_fails_is_made_good_and_a_stop_is_still_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(away=(5.0, 6.0, 7.0), stop_at=9.0)
    lease, said = beaten(book, monkeypatch, 12.0)
    assert book.beats[0] == 8.0
    assert said == [StopKind.USER]  # once
    assert not lease.lost.is_set()


def test_a_driver_that_was_replaced_stops_beating(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(token="another's")
    lease, said = beaten(book, monkeypatch, 60.0)
    assert len(book.beats) == 1
    assert (said, lease.lost.is_set()) == ([StopKind.LEASE_LOST], True)


@pytest.mark.parametrize(("age", "in_force"), [(0.0, True), (59.999, True), (60.0, False), (61.0, False)])
@pytest.mark.parametrize(("space", "here"), [("another boot", "this boot"), ("", "this boot"), ("", "")])
def test_a_driver_elsewhere_is_judged_by_its_heartbeat(
    age: float, in_force: bool, space: str, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one on a system that doesn't tell where it is, seen from another such system."""
    monkeypatch.setattr(lease_module, "_space", lambda: here)
    book = Book()
    elsewhere = replace(Holder.here(book.now()), space=space)
    assert elsewhere.is_alive() is None
    book.swap_lease("small", None, "token", asdict(elsewhere))
    book.seconds = age
    assert holder_of(book, "small") == (elsewhere, in_force)


def test_a_living_driver_on_this_machine_keeps_its_lease_however_seldom_it_beats() -> None:
    book = Book()
    me = Holder.here(book.now())
    book.swap_lease("small", None, "token", asdict(me))
    book.seconds = 10 * EXPIRES_AFTER.total_seconds()  # it was stopped, or its disk was
    assert holder_of(book, "small") == (me, True)
    with pytest.raises(LeaseHeld), Lease(book, "small", _ignore):
        pass


def test_of_two_drivers_that_take_a_free_lease_at_once_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    with Lease(book, "small", _ignore) as first:
        seen = [
            (None, None, None),
            book.read_lease("small"),
        ]  # the second one looked before the first took it
        monkeypatch.setattr(book, "read_lease", lambda sweep: seen.pop(0))
        with pytest.raises(LeaseHeld, match=f"process {os.getpid()}"), Lease(book, "small", _ignore):
            pass
        assert book.token == first.token
    assert book.token is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to see processes in")
def test_a_driver_that_is_a_zombie_is_dead(ledger: Ledger) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        holder = replace(Holder.here(ledger.now()), pid=child.pid, born=lease_module._born(child.pid))
        ledger.swap_lease("small", None, "token", asdict(holder))
        assert holder_of(ledger, "small") == (holder, True)
        child.kill()  # and nobody waits for it: its entry stays
        deadline = time.monotonic() + 60
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert holder_of(ledger, "small") == (holder, False)
        with Lease(ledger, "small", _ignore):
            pass
    finally:
        child.kill()
        child.wait()
