"""The driver's side of the process that runs Ray: starts it, answers its calls, and leaves nothing of it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.tune import host
from lossweep.search.running.tune.calls import Call, DistantWorkers, Ended, Job, Said, answer
from lossweep.search.running.tune.environment import cluster_environment
from lossweep.search.running.tune.session import PATIENCE_S, end_session
from lossweep.search.running.tune.temporary import folder_for_sockets
from lossweep.search.study.faults import ClusterLost
from lossweep.spaces.files.errors import LossweepError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2


class RayProcess:
    """A process that runs Ray while the ``with`` block lasts; started when needed, and again when lost.

    A private cluster is its alone: guarded by a token made for this run, without the driver's secrets, in a
    session of the system's that is ended as a whole. It can run several jobs, one after the other.

    Attributes:
        evaluations: taken in the newest job.
    """

    def __init__(self, address: str | None, threads: int, log_file: Path, passed: Iterable[str] = ()) -> None:
        """Prepare to start it.

        Args:
            address: of a running Ray cluster; None for a private one.
            threads: of the numeric libraries in each worker of a private cluster.
            log_file: for everything Ray says.
            passed: variables that workers get although they look like secrets.
        """
        self.evaluations = 0
        self._address, self._threads, self._log_file, self._passed = address, threads, log_file, passed
        self._started: _Started | None = None
        self._idle = False

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and all that it started."""
        self._end()

    def run(self, job: Job, dispatcher: Dispatcher) -> None:
        """Run a job until the dispatcher hands out nothing more; what the dispatcher raises is passed on.

        A stop that is asked for while Ray starts ends the job at once.

        Raises:
            ClusterLost: when Ray, or a part of it, ended before.
            UserError: when not one trial fits on this machine.
        """
        if not self._idle:  # never started, lost, or in the middle of what went wrong
            self._end()
            self._started = self._start()
        assert self._started is not None
        started, works = self._started, False
        dispatcher.workers = DistantWorkers(started.questions)
        self._idle, self.evaluations = False, 0
        started.send(job)
        while True:
            while not started.calls.poll(LOOK_EVERY_S):
                if dispatcher.stop.is_set() and not works:
                    return None
            match started.receive():
                case Call(name) as call:
                    works = True
                    self.evaluations += name == "evaluated"
                    started.send(answer(dispatcher, call))
                case Said(logger, level, words):
                    logging.getLogger(logger).log(level, "%s", words)
                case Ended() as ended:
                    return self._take(ended)

    def _take(self, ended: Ended) -> None:
        if ended.error is not None and not isinstance(ended.error, LossweepError):
            log.info("What Ray raised:\n%s", ended.traceback)
            raise ClusterLost(f"Ray failed: {ended.error}")
        self._idle = True
        if ended.error is not None:
            raise ended.error

    def _start(self) -> _Started:
        """Start it, without waiting for Ray."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        folder = folder_for_sockets()
        pairs = [socket.socketpair() for _ in range(2)]
        theirs = [pair[1] for pair in pairs]
        descriptors = [each.fileno() for each in theirs]
        arguments = [*map(str, descriptors), self._address or "", str(folder)]
        with theirs[0], theirs[1], self._log_file.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", host.__name__, *arguments],
                env=cluster_environment(os.environ, self._threads, self._address is None, self._passed),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=descriptors,
                start_new_session=True,  # where no Ctrl-C and no hang-up of the terminal reaches it
            )
        calls, questions = (Connection(ours.detach()) for ours, _ in pairs)
        return _Started(process, calls, questions, folder)

    def _end(self) -> None:
        """End it: in good order if it is idle, at once if not."""
        if self._started is None:
            return
        started, idle = self._started, self._idle
        try:
            if idle:
                started.calls.send(None)
                started.process.wait(PATIENCE_S)
        except (ConnectionError, subprocess.TimeoutExpired):
            pass
        finally:
            started.end()
            self._started, self._idle = None, False


@dataclass(frozen=True, slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    calls: Connection
    questions: Connection
    folder: Path

    def send(self, message: object) -> None:
        """Send a message; `ClusterLost` when nobody takes it."""
        try:
            self.calls.send(message)
        except ConnectionError:
            raise ClusterLost(_why(self.process)) from None

    def receive(self) -> Any:
        """Take the next message; `ClusterLost` when there will be none."""
        try:
            return self.calls.recv()
        except (EOFError, ConnectionError):
            raise ClusterLost(_why(self.process)) from None

    def end(self) -> None:
        """End the process and all that it started, at once."""
        self.calls.close()
        self.questions.close()
        session = self.process.pid
        self.process.kill()
        left = end_session(session, spare=session)  # it is waited for last: until then its id is its own
        self.process.wait()
        if left:
            log.warning("Processes of Ray can't be ended: %s", ", ".join(map(str, left)))
        shutil.rmtree(self.folder, ignore_errors=True)


def _why(process: subprocess.Popen[bytes]) -> str:
    """What became of the process, which is known once it has ended."""
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return "the process that runs Ray no longer answers"
    lost = {code: name for name, code in host.PARTS.items()}.get(code)
    if lost is not None:
        return f"Ray's {lost} ended"
    if code < 0:
        return f"the process that runs Ray was ended by {signal.Signals(-code).name}"
    return f"Ray ended by itself, with exit code {code}"
