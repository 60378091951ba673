"""The processes of one cluster: a session of the operating system's, which nothing that Ray starts leaves.

A process group would not do: Ray gives its workers groups of their own. The id of a session is its first
process's, and is given to no other process while one of the session lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

PATIENCE_S = 10.0
"""How long processes that were killed are waited for."""


def processes_of(session: int) -> list[int]:
    """Return the ids of a session's living processes; one that is dead and was not waited for is none."""
    return [pid for pid in psutil.pids() if _session_of(pid) == session and not _is_dead(pid)]


def end_session(session: int, spare: int | None = None) -> list[int]:
    """Kill a session's processes, those that are started meanwhile included, and wait until they are gone.

    Args:
        session: its id.
        spare: a process that is left alive: the caller's own.

    Returns:
        The processes that are still there after `PATIENCE_S`; none, but for what the system holds.
    """
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid in processes_of(session) if pid != spare]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_dead(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
