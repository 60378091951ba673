"""Which process has an attempt in hand, and what it is at, asked from outside and without its help.

A worker writes its card when it takes an attempt up, and lets ``faulthandler`` write its stack at a signal:
that is done in C, so that a loop that never ends is told as well as a sleep. What is stopped tells nothing.
Imports little: a worker's start waits for it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lossweep.search.processes import catches, process_stat
from lossweep.search.running.stack import Stack

TELL: Final = signal.SIGUSR2
"""Makes a worker write its stack. Ray Tune and job schedulers have their own use for SIGUSR1."""

_ANSWERS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The process that has an attempt in hand: its card.

    Attributes:
        host: its machine's name.
        node: Ray's id of that machine; empty where there is no Ray.
        pid: its process id there.
        born: its start; see `search.processes.ProcessStat`.
        thread: the thread that trains.
        stack: the file that it writes its stack to.
    """

    host: str
    node: str
    pid: int
    born: int
    thread: int
    stack: str

    @classmethod
    def here(cls, node: str = "", stack: str = "") -> WorkerProcess:
        """This process, training in this thread."""
        pid = os.getpid()
        stat = process_stat(pid)
        born = stat.born if stat is not None else -1
        return cls(socket.gethostname(), node, pid, born, threading.get_ident(), stack)

    @classmethod
    def of(cls, folder: Path, attempt: str) -> WorkerProcess | None:
        """Read the card of an attempt; None while no worker has taken it up."""
        try:
            return cls(**json.loads((folder / f"{attempt}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path, attempt: str) -> None:
        """Write the card of an attempt that this process takes up."""
        beside = folder / f"{attempt}.{self.pid}"
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        beside.replace(folder / f"{attempt}.json")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


_DOES: Final = {"R": "computes", "D": "waits for a disk or a device", "t": "is held by a debugger"}
"""What a process of a state does, as far as the kernel knows; all others wait."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a worker was seen to be at.

    Attributes:
        process: which.
        state: as in `search.processes.ProcessStat`; empty when there is no such process any more.
        stack: where its training stood; None when it did not say.
    """

    process: WorkerProcess
    state: str
    stack: Stack | None = None

    def __str__(self) -> str:
        who = f"its worker, {self.process},"
        if not self.state:
            return f"{who} is gone"
        if self.state == "T":
            return f"{who} is stopped and cannot say where"
        does = _DOES.get(self.state, "waits")
        return f"{who} {does} {self.stack.where()}" if self.stack else f"{who} {does} and does not say where"


class ThisProcess:
    """The worker of every attempt where trials are trained in this process, by the thread that made this."""

    def __init__(self) -> None:
        self._card = WorkerProcess.here()

    def look(self, attempt: str) -> Sight | None:
        """Return what it is at."""
        stat = process_stat(self._card.pid)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            stack = Stack.of(file.read(), self._card.thread)
        return Sight(self._card, stat.state if stat else "S", stack)

    def end(self, attempt: str) -> bool:
        """Nothing that this process could do without ending itself."""
        return False


@contextmanager
def telling(folder: Path, node: str) -> Iterator[WorkerProcess]:
    """Let this process write its stack at the signal `TELL`, as long as the block lasts."""
    path = folder / f"{os.getpid()}.stack"
    with path.open("w", encoding="utf-8") as file:
        faulthandler.register(TELL, file, all_threads=True)
        try:
            yield WorkerProcess.here(node, str(path))
        finally:
            faulthandler.unregister(TELL)


def look_at(process: WorkerProcess) -> Sight:
    """Return what a process of this machine is at."""
    stat = process_stat(process.pid)
    if stat is None or stat.born != process.born:
        return Sight(process, "")
    if stat.state in ("T", "t") or not catches(process.pid, TELL):
        return Sight(process, stat.state)
    path = Path(process.stack)
    before = path.stat().st_size
    os.kill(process.pid, TELL)
    return Sight(process, stat.state, Stack.of(_written_after(path, before), process.thread))


def end(process: WorkerProcess) -> bool:
    """End a process of this machine, and say whether it was there; one that is stopped ends as well."""
    stat = process_stat(process.pid)
    if stat is None or stat.born != process.born:
        return False
    os.kill(process.pid, signal.SIGKILL)
    return True


def _written_after(path: Path, before: int) -> str:
    """What a file holds behind an offset, once nothing more comes."""
    size, deadline = before, time.monotonic() + _ANSWERS_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(0.05)
        now = path.stat().st_size
        if now == size and now > before:
            break
        size = now
    with path.open("rb") as file:
        file.seek(before)
        return file.read().decode(errors="replace")
