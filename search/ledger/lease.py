"""Who drives a sweep: one driver at a time, and never none because the last one was killed."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from lossweep.search.ledger.records import reading
from lossweep.search.processes import process_stat
from lossweep.search.study.sweep_state import StopKind
from lossweep.spaces.files.errors import LossweepError

log = logging.getLogger(__name__)

BEAT_S = 5.0
"""Seconds between two heartbeats."""

EXPIRES_AFTER = timedelta(seconds=60)
"""How long a driver on another machine may be silent before it counts as dead."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that drives a sweep.

    Attributes:
        host: its machine.
        pid: its process id there.
        born: its start, in the kernel's own unit: a process id alone may be another's by now.
        space: identifies the boot and the process-id namespace in which ``pid`` means something.
        since: when it took the lease, ISO 8601, UTC.
        cluster: the Ray cluster that its trials share with others; empty for its own.
    """

    host: str
    pid: int
    born: int
    space: str
    since: str
    cluster: str = ""

    @classmethod
    def here(cls, now: datetime, cluster: str = "") -> Holder:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _born(pid), _space(), now.isoformat(), cluster)

    def is_alive(self) -> bool | None:
        """Whether the process lives; None when it cannot be known from here."""
        if not self.space or self.space != _space():
            return None
        return _born(self.pid) == self.born

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since[:19].replace('T', ' ')} UTC"


class LeaseHeld(LossweepError):
    """Another living driver has the sweep."""

    exit_code = 2

    def __init__(self, sweep: str, holder: Holder | None) -> None:
        super().__init__(
            f"sweep {sweep} is already driven by {holder}; wait, or stop it with: lossweep stop {sweep}"
        )
        self.sweep = sweep
        self.holder = holder

    def __reduce__(self) -> tuple[type[LeaseHeld], tuple[str, Holder | None]]:
        return type(self), (self.sweep, self.holder)


class LeaseLost(LossweepError):
    """Another driver took the sweep over while this one was silent; it must write nothing more."""


class LeaseStore(Protocol):
    """Where leases are written: the ledger."""

    def now(self) -> datetime:
        """The database's own clock."""

    def read_lease(self, sweep: str) -> tuple[dict[str, Any] | None, str | None, datetime | None]:
        """The holder, the token and the last heartbeat."""

    def swap_lease(
        self, sweep: str, expected: str | None, token: str | None, holder: dict[str, Any] | None
    ) -> bool:
        """Replace the lease if it is still the expected one; one that is taken knows of no wish to stop."""

    def beat(self, sweep: str, token: str) -> bool:
        """Write a heartbeat; False when the lease is another's."""

    def stop_requested(self, sweep: str) -> bool:
        """Whether somebody asked the sweep to stop since the lease was taken."""


def holder_of(book: LeaseStore, sweep: str) -> tuple[Holder | None, bool]:
    """Who holds the sweep's lease, and whether it is in force (a dead driver's is not)."""
    with reading(sweep, "its lease"):
        data, _, heartbeat = book.read_lease(sweep)
        return _judged(book, data, heartbeat)


def is_in_force(book: LeaseStore, data: dict[str, Any], heartbeat: datetime | None) -> bool:
    """Whether a lease that was read is in force."""
    return _judged(book, data, heartbeat)[1]


def _judged(
    book: LeaseStore, data: dict[str, Any] | None, heartbeat: datetime | None
) -> tuple[Holder | None, bool]:
    if data is None:
        return None, False
    holder = Holder(**data)
    alive = holder.is_alive()
    if alive is None:
        alive = heartbeat is not None and book.now() - heartbeat < EXPIRES_AFTER
    return holder, alive


class Lease:
    """One driver's right to a sweep, kept by a heartbeat while the ``with`` block runs.

    ``on_stop`` is called from the heartbeat's thread, with a line for people, when the driver has to stop.

    Attributes:
        lost: set when another driver took over.
        stop: set when ``lossweep stop`` asked for an end.
    """

    def __init__(
        self, book: LeaseStore, sweep: str, on_stop: Callable[[str, StopKind], None], cluster: str = ""
    ) -> None:
        self.token = uuid.uuid4().hex
        self.lost = threading.Event()
        self.stop = threading.Event()
        self._book = book
        self._sweep = sweep
        self._on_stop = on_stop
        self._cluster = cluster
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{sweep}", daemon=True)

    def __enter__(self) -> Lease:
        """Take the lease.

        Raises:
            LeaseHeld: when a living driver has it, naming host, process and since when.
        """
        data, token, heartbeat = self._book.read_lease(self._sweep)
        holder, in_force = _judged(self._book, data, heartbeat)
        if holder is not None and not in_force:
            log.warning("Taking over the lease of a dead driver (%s).", holder)
        me = Holder.here(self._book.now(), self._cluster)
        if in_force or not self._book.swap_lease(self._sweep, token, self.token, asdict(me)):
            holder, _ = holder_of(self._book, self._sweep)
            raise LeaseHeld(self._sweep, holder)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._done.set()
        self._thread.join(timeout=2 * BEAT_S)
        if not self.lost.is_set():
            self._book.swap_lease(self._sweep, self.token, None, None)

    def check(self) -> None:
        """Make sure that the lease is still this driver's.

        Raises:
            LeaseLost: when it is not.
        """
        if self.lost.is_set():
            holder, _ = holder_of(self._book, self._sweep)
            raise LeaseLost(f"sweep {self._sweep} was taken over by {holder}")

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._done.wait(1.0):
            try:
                if not self.stop.is_set() and self._book.stop_requested(self._sweep):
                    self.stop.set()
                    self._on_stop(f"lossweep stop {self._sweep}", StopKind.USER)
                now = time.monotonic()
                if now - last >= BEAT_S:
                    if not self._book.beat(self._sweep, self.token):
                        self.lost.set()
                        self._on_stop("another driver took the sweep over", StopKind.LEASE_LOST)
                        return
                    last = now
            except Exception:
                # The lease outlives missed beats; the driver's own calls report a database that is gone.
                log.warning("A heartbeat of sweep %s failed.", self._sweep, exc_info=True)


def _space() -> str:
    """The boot and the process-id namespace, or empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> int:
    """Start time of a process in clock ticks since boot, -1 when there is none (a zombie is none)."""
    stat = process_stat(pid)
    return -1 if stat is None else stat.born
