"""How the process that runs Ray calls the driver's dispatcher: over a socket, one call after the other."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from lossweep.search.running.assignment import Assignment
from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.silence import Workers
from lossweep.search.running.worker_process import Sight
from lossweep.search.study.faults import Fault
from lossweep.trainers.evaluation import Evaluation

ANSWERS_WITHIN_S = 90.0
"""A worker on another machine may have to be asked by a process that is yet to start."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is to run.

    Attributes:
        trainer: sent to every worker; pickled, as only workers need what it is made of.
        folder: for Tune's temporary files; seen by every node of a cluster.
        parallel: trials side by side; None for as many as fit.
        cpus: cores a trial holds.
        gpus: GPUs a trial holds; None for one where a node has any.
        say_after: seconds that resources are awaited in silence.
        gpu_share: what a trial holds where a node has GPUs and ``gpus`` doesn't say; None if not measured.
    """

    trainer: bytes = field(repr=False)
    folder: Path
    parallel: int | None
    cpus: float
    gpus: float | None
    say_after: float
    gpu_share: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the dispatcher, which is answered with what it returns."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the driver's log."""

    logger: str
    level: int
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over.

    Attributes:
        error: what it ended by, unless all was handed out.
        traceback: of an error that is nobody's mistake.
    """

    error: Exception | None = None
    traceback: str = ""


class Dispatches(Protocol):
    """What Tune's adapters need of the dispatcher. Its methods are those of `Dispatcher`."""

    @property
    def running(self) -> int:
        """Attempts handed out and not over."""

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""

    def allowed(self, slots: int) -> int:
        """How many of a cluster's slots this sweep may hold now."""

    def next(self) -> Assignment | None:
        """Hand out the next attempt."""

    def began(self, attempt: str) -> None:
        """Take note that a worker has an attempt in hand."""

    def evaluated(self, attempt: str, evaluation: Evaluation) -> bool:
        """Take an evaluation; return whether the worker goes on."""

    def ended(self, attempt: str) -> None:
        """Take the end of a worker's evaluations."""

    def faulted(self, attempt: str, fault: Fault) -> None:
        """Take a fault."""


class Line:
    """The process's end of the socket: one message at a time, whichever thread sends it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, message: Said | Ended) -> None:
        """Send what is not answered."""
        with self._lock:
            self.connection.send(message)

    def ask(self, call: Call) -> Any:
        """Send a call and return what it is answered with."""
        with self._lock:
            self.connection.send(call)
            return self.connection.recv()


class DistantDispatcher:
    """The driver's dispatcher as seen from the process that runs Ray: a `Dispatches`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def running(self) -> int:
        """See `Dispatches`."""
        return int(self._line.ask(Call("running")))

    @property
    def stopping(self) -> bool:
        """See `Dispatches`."""
        return bool(self._line.ask(Call("stopping")))

    def allowed(self, slots: int) -> int:
        """See `Dispatches`."""
        return int(self._line.ask(Call("allowed", (slots,))))

    def next(self) -> Assignment | None:
        """See `Dispatches`."""
        assignment: Assignment | None = self._line.ask(Call("next"))
        return assignment

    def began(self, attempt: str) -> None:
        """See `Dispatches`."""
        self._line.ask(Call("began", (attempt,)))

    def evaluated(self, attempt: str, evaluation: Evaluation) -> bool:
        """See `Dispatches`."""
        return bool(self._line.ask(Call("evaluated", (attempt, evaluation))))

    def ended(self, attempt: str) -> None:
        """See `Dispatches`."""
        self._line.ask(Call("ended", (attempt,)))

    def faulted(self, attempt: str, fault: Fault) -> None:
        """See `Dispatches`."""
        self._line.ask(Call("faulted", (attempt, fault)))

    def job_began(self, job: str) -> None:
        """Tell the id of the Ray job that runs the trials."""
        self._line.ask(Call("job_began", (job,)))


def answer(dispatcher: Dispatcher, call: Call) -> Any:
    """Let the dispatcher do what it is called for; what it raises is raised here."""
    match call:
        case Call("running" | "stopping" as name):
            return getattr(dispatcher, name)
        case Call(
            "allowed" | "next" | "began" | "evaluated" | "ended" | "faulted" | "job_began" as name, arguments
        ):
            return getattr(dispatcher, name)(*arguments)
    raise RuntimeError(f"the dispatcher has no {call.name}")


class LogToDriver(logging.Handler):
    """Hands what is logged to the driver, whose terminal and log file it belongs in."""

    def __init__(self, line: Line) -> None:
        super().__init__(logging.INFO)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Send the message; a traceback stays in Ray's log."""
        self._line.send(Said(record.name, record.levelno, record.getMessage()))


class DistantWorkers:
    """The workers as seen from the driver, which asks the process that runs Ray for them: a `Workers`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def look(self, attempt: str) -> Sight | None:
        """See `Workers`."""
        sight: Sight | None = self._ask(Call("look", (attempt,)))
        return sight

    def end(self, attempt: str) -> bool:
        """See `Workers`."""
        return bool(self._ask(Call("end", (attempt,))))

    def _ask(self, call: Call) -> Any:
        with self._lock:
            self._connection.send(call)
            deadline = time.monotonic() + ANSWERS_WITHIN_S
            while self._connection.poll(max(0.0, deadline - time.monotonic())):
                asked, answer = self._connection.recv()
                if asked != call:  # a former question's, which came too late
                    continue
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise TimeoutError("the process that runs Ray does not say where its workers stand")


def answer_for_workers(connection: Connection, workers: Callable[[], Workers | None]) -> None:
    """Answer what `DistantWorkers` asks until the driver hangs up; for a thread of its own.

    Args:
        connection: to the driver.
        workers: those of the job that runs.
    """
    with contextlib.suppress(EOFError, OSError):
        while True:
            call: Call = connection.recv()
            connection.send((call, _answer_of(workers(), call)))


def _answer_of(workers: Workers | None, call: Call) -> Any:
    try:
        if workers is None:
            raise RuntimeError("no job runs")
        return getattr(workers, call.name)(*call.arguments)
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")  # which can be pickled, whatever it was
