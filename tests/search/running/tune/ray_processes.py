"""The processes that a driver started for Ray, looked at from outside."""

from __future__ import annotations

import contextlib
import time

import psutil

from lossweep.search.running.tune import host
from lossweep.search.running.tune.session import processes_of


def host_of(driver: int) -> psutil.Process | None:
    """The process that runs Ray for a driver."""
    for child in psutil.Process(driver).children():
        with contextlib.suppress(psutil.Error):  # one that has ended meanwhile is not it
            if host.__name__ in child.cmdline():
                return child
    return None


def part_of(driver: int, name: str) -> psutil.Process | None:
    """One of the processes of a driver's private cluster, by its name."""
    running = host_of(driver)
    return next((p for p in running.children() if p.name() == name), None) if running else None


def gone(session: int, within: float = 60.0) -> bool:
    """Whether nothing of a session is left, now or within some seconds."""
    deadline = time.monotonic() + within
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(session)
