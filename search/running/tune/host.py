"""The process that runs Ray: started by the driver, and ends with it.

``python -m lossweep.search.running.tune.host CALLS QUESTIONS ADDRESS FOLDER``: the descriptors of two
sockets, one to call the driver by and one to be asked by it; the cluster's address, or nothing for a private
one, and where that is to keep its sockets.

Ray ends the process that is connected to it, without a word, when its raylet or GCS is gone; it takes signals
for itself while it starts; and its workers inherit the environment. So it has a process of its own, in a
session of its own, which holds neither the study nor a secret. Whatever happens here, the driver notices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from lossweep.search.running.tune.calls import (
    DistantDispatcher,
    Ended,
    Job,
    Line,
    LogToDriver,
    answer_for_workers,
)
from lossweep.search.running.tune.session import end_session
from lossweep.spaces.files.errors import LossweepError

if TYPE_CHECKING:
    from lossweep.search.running.tune.workers import RayWorkers  # imports Ray

PARTS: Final[Mapping[str, int]] = {"raylet": 81, "gcs_server": 82}
"""The processes that a private cluster can't be without, and the exit codes that say which was lost."""

LOOK_EVERY_S = 0.5


def main() -> None:
    """Serve one driver: run the jobs that it sends, and leave when it says so or is gone."""
    calls, questions = int(sys.argv[1]), int(sys.argv[2])
    address, folder = sys.argv[3] or None, Path(sys.argv[4])
    for descriptor in (calls, questions):
        os.set_inheritable(descriptor, False)
    line, jobs = Line(Connection(calls)), _Jobs(address is None)
    keeper = _Keeper(calls, folder)
    answering = (Connection(questions), lambda: jobs.workers)
    threading.Thread(target=keeper.keep, name="keeper", daemon=True).start()
    threading.Thread(target=answer_for_workers, args=answering, name="answering", daemon=True).start()
    logging.getLogger("lossweep").addHandler(LogToDriver(line))
    logging.getLogger("lossweep").setLevel(logging.INFO)
    keeper.starting = address is None
    ended = _connect(address, folder)
    if address is None:
        keeper.starting = False
        keeper.look_for_parts()
    while (job := line.connection.recv()) is not None:
        line.send(ended or jobs.run(job, line))
    keeper.leave()


class _Keeper:
    """Ends everything here when the driver is gone, and this process when a part of its cluster is.

    Attributes:
        parts: the private cluster's own processes, by their names.
        starting: whether these are being started.
    """

    def __init__(self, descriptor: int, folder: Path) -> None:
        self.parts: dict[str, psutil.Process] = {}
        self.starting = False
        self._descriptor, self._folder = descriptor, folder
        self._driver = os.getppid()

    def keep(self) -> None:
        """Look, until the process ends."""
        poller = select.poll()
        poller.register(self._descriptor, 0)  # asks for nothing, and so is told of a hang-up alone
        while True:
            if poller.poll(1e3 * LOOK_EVERY_S) or os.getppid() != self._driver:
                self._end(0)
            if self.starting:
                self.look_for_parts()
            for name, process in list(self.parts.items()):
                if not _lives(process):
                    self._end(PARTS[name])

    def look_for_parts(self) -> None:
        """Take note of the private cluster's processes that there are by now."""
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if (name := child.name()) in PARTS:
                    self.parts.setdefault(name, child)

    def leave(self) -> None:
        """Leave Ray in good order, and end what it does not."""
        import ray

        self.parts.clear()
        ray.shutdown()
        self._end(0)

    def _end(self, code: int) -> None:
        end_session(os.getpid(), spare=os.getpid())
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(code)


def _connect(address: str | None, folder: Path) -> Ended | None:
    from lossweep.search.running.tune.cluster import connect

    try:
        connect(address, folder)
    except Exception as error:
        return _ended_by(error)
    return None


class _Jobs:
    """Runs jobs, one after the other.

    Attributes:
        workers: of the newest job.
    """

    def __init__(self, private: bool) -> None:
        self.workers: RayWorkers | None = None
        self._private = private

    def run(self, job: Job, line: Line) -> Ended:
        """Run one, and say how it ended."""
        from lossweep.search.running.tune.cluster import job_id, node_id
        from lossweep.search.running.tune.tuning import run_job
        from lossweep.search.running.tune.workers import RayWorkers

        try:
            dispatcher = DistantDispatcher(line)
            dispatcher.job_began(job_id())
            self.workers = RayWorkers(job.folder / "cards", node_id())
            run_job(job, dispatcher, self.workers, self._private)
        except Exception as error:
            return _ended_by(error)
        return Ended()


def _ended_by(error: Exception) -> Ended:
    if isinstance(error, LossweepError):
        return Ended(error)
    time.sleep(2 * LOOK_EVERY_S)  # where a part of the cluster was lost, that is said instead
    text = "".join(traceback.format_exception(error))
    return Ended(RuntimeError(f"{type(error).__name__}: {error}".partition("\n")[0]), text)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    main()
