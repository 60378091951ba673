"""What the kernel tells of a process of this machine; where it tells nothing, there is no such process."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What stands in ``/proc/PID/stat``.

    Attributes:
        state: one letter: ``R`` runs, ``S`` sleeps, ``D`` waits for a device, ``T`` is stopped.
        born: its start in clock ticks since boot: a process id alone may be another's by now.
    """

    state: str
    born: int


def process_stat(pid: int) -> ProcessStat | None:
    """Return how a process stands, or None when there is none (a zombie is none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name stands in parentheses and may hold anything; the state follows it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else ProcessStat(fields[0], int(fields[19]))


def catches(pid: int, wanted: signal.Signals) -> bool:
    """Whether a process has a handler for a signal; without one most signals would end it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (wanted - 1) & 1)
