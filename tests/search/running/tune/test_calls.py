"""The two sockets between the driver and the process that runs Ray, without either."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from typing import Any

import pytest

from lossweep.search.running.dispatcher import Dispatcher
from lossweep.search.running.tune import calls
from lossweep.search.running.tune.calls import (
    Call,
    DistantDispatcher,
    DistantWorkers,
    Line,
    LogToDriver,
    answer,
    answer_for_workers,
)
from lossweep.search.running.worker_process import Sight
from lossweep.search.study.faults import Fault, FaultKind
from tests.search.running.test_dispatcher import Conductor, evaluation


class Somewhere:
    """Workers of which one answers late, and one not at all."""

    def look(self, attempt: str) -> Sight | None:
        if attempt == "late":
            time.sleep(0.3)
        if attempt == "broken":
            raise KeyError(attempt)
        return None

    def end(self, attempt: str) -> bool:
        return attempt == "there"


@pytest.fixture
def asked() -> Iterator[DistantWorkers]:
    ours, theirs = Pipe()
    thread = threading.Thread(target=answer_for_workers, args=(theirs, Somewhere), daemon=True)
    thread.start()
    yield DistantWorkers(ours)
    ours.close()
    thread.join(60.0)
    assert not thread.is_alive()


def test_workers_are_asked_through_the_process_that_runs_ray(asked: DistantWorkers) -> None:
    assert asked.end("there")
    assert not asked.end("elsewhere")
    assert asked.look("a") is None
    with pytest.raises(RuntimeError, match="KeyError: 'broken'"):
        asked.look("broken")


def test_an_answer_that_comes_too_late_is_not_taken_for_another(
    asked: DistantWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "ANSWERS_WITHIN_S", 0.05)
    with pytest.raises(TimeoutError):
        asked.look("late")
    monkeypatch.setattr(calls, "ANSWERS_WITHIN_S", 5.0)
    assert asked.end("there") is True


def test_the_dispatcher_is_called_as_if_it_were_here() -> None:
    ours, theirs = Pipe()
    jobs: list[str] = []
    dispatcher = Dispatcher(Conductor(), job_began=jobs.append)
    said: list[Any] = []

    def serve() -> None:
        while (message := ours.recv()) is not None:
            if isinstance(message, Call):
                ours.send(answer(dispatcher, message))
            else:
                said.append(message)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    line = Line(theirs)
    distant = DistantDispatcher(line)
    distant.job_began("01")
    first, second = distant.next(), distant.next()
    assert first is not None
    assert second is not None
    assert (distant.running, distant.stopping, jobs) == (2, False, ["01"])
    distant.began(first.attempt)
    assert [each.attempt for each in dispatcher.awaited] == [first.attempt]
    assert distant.evaluated(first.attempt, evaluation(1))
    assert not distant.evaluated(first.attempt, evaluation(2))
    distant.faulted(second.attempt, Fault(FaultKind.EXCEPTION, "ValueError: 1"))
    assert distant.running == 0
    assert distant.next() is None
    dispatcher.stop.set("enough")
    assert distant.stopping
    record = logging.makeLogRecord({"name": "lossweep.x", "levelno": 30, "msg": "still waiting"})
    LogToDriver(line).handle(record)
    theirs.send(None)
    thread.join(60.0)
    assert [(one.logger, one.level, one.message) for one in said] == [("lossweep.x", 30, "still waiting")]


def test_nothing_else_can_be_called() -> None:
    with pytest.raises(RuntimeError, match="the dispatcher has no interrupt_all"):
        answer(Dispatcher(Conductor()), Call("interrupt_all", ("why",)))
