"""Trials side by side on one GPU for some seconds: one, two, four, eight processes, as workers are."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from lossweep.search.running.gpu_shares import child
from lossweep.search.running.gpu_shares.choice import Measured
from lossweep.search.running.gpu_shares.messages import READY, Pace, Short, Trial
from lossweep.search.running.tune.environment import cluster_environment

WITHIN_S: Final = 60.0
"""All of it. What is not measured by then is not."""


class NotMeasured(Exception):
    """A round did not come to its end: why, in one line."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What came of the measurement.

    Attributes:
        measured: fewest trials first; empty when not even one trained.
        short: whether the next count found no memory.
        note: why there are no more rounds, if not for that; empty when all were.
    """

    measured: tuple[Measured, ...]
    short: bool = False
    note: str = ""


def measure(
    trial: Trial,
    counts: Sequence[int],
    *,
    log_file: Path,
    passed: Iterable[str] = (),
    within_s: float = WITHIN_S,
    command: Sequence[str] = (sys.executable, "-P", "-m", child.__name__),
) -> Rounds:
    """Train in ``counts[0]`` processes at once, then in ``counts[1]``, and so on.

    A count that finds no memory ends it, and so does a process that fails: more would fare no better.

    Args:
        trial: what each of them trains.
        counts: how many at once, ascending.
        log_file: for what they print.
        passed: environment variables that they get although they look like secrets, as workers do.
        within_s: seconds for everything.
        command: that starts a process, but for the socket's descriptor.
    """
    ends = time.monotonic() + within_s
    measured: list[Measured] = []
    with ExitStack() as open_:
        try:
            started = _start(counts[-1], trial, log_file, passed, command, open_)
            for each in started:
                each.send(trial)
            for each in started:
                each.answer(ends)
            for count in counts:
                paces = _round(started[:count], ends)
                if paces is None:
                    return Rounds(tuple(measured), short=True)
                rate = sum(each.images_per_second for each in paces)
                measured.append(Measured(count, rate, max(each.memory for each in paces)))
        except NotMeasured as error:
            return Rounds(tuple(measured), note=str(error))
    return Rounds(tuple(measured))


def _round(processes: Sequence[_Process], ends: float) -> list[Pace] | None:
    """Train side by side, all from the same moment on; None when one of them finds no memory."""
    for each in processes:
        each.send(1.0 / len(processes))
    first = [each.answer(ends) for each in processes]
    if any(isinstance(each, Short) for each in first):
        return None
    for each in processes:
        each.send(None)
    paces = [each.answer(ends) for each in processes]
    return None if any(isinstance(each, Short) for each in paces) else paces


@dataclass(frozen=True, slots=True)
class _Process:
    popen: subprocess.Popen[bytes]
    connection: Connection

    def send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except ConnectionError:
            raise NotMeasured("a process ended") from None

    def answer(self, ends: float) -> Any:
        """The next message: `READY`, a `Pace` or `Short`."""
        if not self.connection.poll(max(0.0, ends - time.monotonic())):
            raise NotMeasured("the time was over")
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            raise NotMeasured("a process ended") from None
        if isinstance(answer, str) and answer != READY:
            raise NotMeasured(answer)
        return answer


def _start(
    count: int, trial: Trial, log_file: Path, passed: Iterable[str], command: Sequence[str], open_: ExitStack
) -> list[_Process]:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    output = open_.enter_context(log_file.open("ab"))
    environment = cluster_environment(os.environ, trial.plan.training.threads, True, passed)
    return [open_.enter_context(_started(command, environment, output)) for _ in range(count)]


@contextmanager
def _started(command: Sequence[str], environment: dict[str, str], output: Any) -> Iterator[_Process]:
    ours, theirs = socket.socketpair()
    with theirs:
        popen = subprocess.Popen(
            [*command, str(theirs.fileno())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # where no Ctrl-C reaches it
        )
    connection = Connection(ours.detach())
    try:
        yield _Process(popen, connection)
    finally:
        connection.close()
        popen.kill()
        popen.wait()
