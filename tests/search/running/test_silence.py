"""A worker that reports nothing is spoken of, with what and where, and ended where a limit says so."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_sweeps import PRIOR, spec, workspace

from lossweep.search.processes import catches
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.silence import Awaited, SilenceWatch
from lossweep.search.running.stack import Stack
from lossweep.search.running.stopping import StopRequest
from lossweep.search.running.task import TrainingTask
from lossweep.search.running.worker_process import TELL, Sight, ThisProcess, WorkerProcess, end, look_at
from lossweep.search.study import pace
from lossweep.search.study.faults import Fault, FaultKind
from lossweep.trainers.evaluation import Evaluation
from lossweep.trainers.plan import TrialPlan
from tests.search.running.test_dispatcher import plan

CARD = WorkerProcess("node7", "abc", 4711, 1, 0x10, "")
STACK = Stack.of('Thread 0x10 (most recent call first):\n  File "/home/u/loss.py", line 9 in focal\n', 0x10)


class Hung:
    """A dispatcher with one attempt in hand, and its worker."""

    def __init__(self, sight: Sight | None = None, newest: Evaluation | None = None) -> None:
        self.workers, self.stop = self, StopRequest()
        self.usual, self.patience = 4.0, 40.0
        self.silent, self.sight, self.newest = 0.0, sight, newest
        self.over = False
        self.ended: list[Fault] = []

    @property
    def awaited(self) -> tuple[Awaited, ...]:
        return () if self.over else (Awaited("a", plan(3), self.newest, self.silent),)

    def look(self, attempt: str) -> Sight | None:
        assert attempt == "a"
        return self.sight

    def end(self, attempt: str) -> bool:
        return True

    def give_up(self, attempt: str, fault: Fault) -> None:
        self.ended.append(fault)


def said(hung: Hung, caplog: pytest.LogCaptureFixture, silences: list[float], limit: float | None = None):
    caplog.set_level(logging.INFO, "lossweep.search.running.silence")
    watch = SilenceWatch(hung, limit)
    for silent in silences:
        hung.silent = silent
        watch.look()
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_what_where_and_what_to_do_stand_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    newest = Evaluation(40, 5, 12, 1, 2, "jaccard", 1e-3, {"ap": 0.5})
    [line] = said(Hung(Sight(CARD, "R", STACK), newest), caplog, [39.0, 70.0])
    assert line == (
        "No evaluation for 0:01:10 (an evaluation usually takes 4.0 s) from trial 3, after step 40 "
        "(epoch 5/12), in phase 2 (jaccard), cycle 3: its worker, process 4711 on node7, computes in focal "
        "(/home/u/loss.py, line 9). kill -9 4711 has the trial tried again from its newest checkpoint; to "
        "have that done by itself: resources.evaluation_minutes."
    )
    assert 'File "/home/u/loss.py", line 9 in focal' in caplog.text, "the whole stack is in the log"


def test_a_trial_before_its_first_evaluation_is_named_by_its_first_phase(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hung = Hung(Sight(CARD, "S", STACK))
    hung.usual = None  # type: ignore[assignment]  # as before any evaluation
    [line] = said(hung, caplog, [60.0])
    assert "(none has come yet in this sweep)" in line
    assert "trial 3, before its first evaluation, phase 1 (cross_entropy)" in line
    assert "waits in focal" in line


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (
            Sight(CARD, "T"),
            "is stopped and cannot say where. kill -CONT 4711 lets it go on; kill -9 4711 has",
        ),
        (Sight(CARD, "D"), "waits for a disk or a device and does not say where. kill -9"),
        (Sight(CARD, "t", STACK), "is held by a debugger in focal"),
        (Sight(CARD, ""), "its worker, process 4711 on node7, is gone."),
        (None, "its worker is not known."),
    ],
)
def test_what_cannot_be_known_is_said_plainly(
    sight: Sight | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    [line] = said(Hung(sight), caplog, [60.0])
    assert words in line


def test_it_is_said_again_when_the_silence_has_doubled_and_anew_after_a_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hung = Hung(Sight(CARD, "S", STACK))
    assert len(said(hung, caplog, [41.0, 42.0, 81.0, 82.5, 160.0, 165.0])) == 3
    assert len(said(hung, caplog, [1.0, 41.0, 43.0])) == 4


def test_at_the_limit_a_worker_counts_as_lost_once(caplog: pytest.LogCaptureFixture) -> None:
    hung = Hung(Sight(CARD, "S", STACK))
    lines = said(hung, caplog, [89.9, 90.0, 91.0], limit=90.0)
    assert [fault.kind for fault in hung.ended] == [FaultKind.WORKER_LOST]
    assert hung.ended[0].message == "no evaluation within resources.evaluation_minutes (1.5)"
    assert "line 9 in focal" in hung.ended[0].traceback
    assert len(lines) == 2
    assert "kill -9" in lines[0]
    assert "by itself" not in lines[0]
    assert "waits in focal (/home/u/loss.py, line 9), and is ended" in lines[1]


def test_what_a_stop_waits_for_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hung = Hung()
    hung.stop.set("interrupted by Ctrl-C")
    said(hung, caplog, [12.0, 13.0])
    assert (
        caplog.text.count("Stopping (interrupted by Ctrl-C). The next evaluation is awaited of: trial 3") == 1
    )


def test_the_innermost_call_of_the_users_own_code_is_named_beside_a_librarys() -> None:
    text = (
        "Thread 0x0000000000000010 (most recent call first):\n"
        '  File "/opt/venv/lib/python3.11/site-packages/torch/nn/functional.py", line 5 in conv2d\n'
        '  File "/home/u/loss.py", line 9 in focal\n'
        '  File "/home/u/train.py", line 1 in main\n\n'
        "Current thread 0x0000000000000020 (most recent call first):\n"
        '  File "/elsewhere.py", line 7 in other\n'
    )
    torch = "/opt/venv/lib/python3.11/site-packages/torch/nn/functional.py"
    stack = Stack.of(text, 0x10)
    assert stack is not None
    assert stack.where() == f"in conv2d ({torch}, line 5), called from focal (/home/u/loss.py, line 9)"
    other = Stack.of(text, 0x20)
    assert other is not None
    assert other.where() == "in other (/elsewhere.py, line 7)"
    assert Stack.of(text, 0x30) is None
    assert Stack.of("", 0x10) is None


_WORKER = """
import faulthandler, signal, sys, time
from pathlib import Path
from lossweep.search.running.worker_process import telling

def looping():
    while True:
        pass

def sleeping():
    time.sleep(600)

def deaf():
    faulthandler.unregister(signal.SIGUSR2)
    sleeping()

with telling(Path(sys.argv[1]), "") as process:
    process.write(Path(sys.argv[1]), "a")
    {"loop": looping, "sleep": sleeping, "deaf": deaf}[sys.argv[2]]()
"""


@pytest.fixture
def worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    """A process that loops or sleeps in a function of that name."""
    process = subprocess.Popen([sys.executable, "-c", _WORKER, str(tmp_path), request.param])
    try:
        deadline = time.monotonic() + 30.0
        while (card := WorkerProcess.of(tmp_path, "a")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield card
    finally:
        process.kill()
        process.wait()


def _once(worker: WorkerProcess, there: Callable[[Sight], bool]) -> Sight:
    """What a process is at, once it has come there."""
    deadline = time.monotonic() + 30.0
    while not there(sight := look_at(worker)):
        assert time.monotonic() < deadline
    return sight


@pytest.mark.parametrize("worker", ["loop", "sleep"], indirect=True)
def test_a_looping_and_a_sleeping_process_tell_where_and_a_stopped_one_is_said_to_be(
    worker: WorkerProcess, request: pytest.FixtureRequest
) -> None:
    state, name = {"loop": ("R", "looping"), "sleep": ("S", "sleeping")}[
        request.node.callspec.params["worker"]
    ]
    for _ in range(2):  # it goes on as it was
        sight = _once(worker, lambda sight: bool(sight.stack and sight.stack.frames[0].function == name))
        assert sight.state == state
    os.kill(worker.pid, signal.SIGSTOP)
    assert _once(worker, lambda sight: sight.state == "T") == Sight(worker, "T")
    assert end(worker)
    os.waitpid(worker.pid, 0)
    assert look_at(worker) == Sight(worker, "")
    assert not end(worker)


@pytest.mark.parametrize("worker", ["deaf"], indirect=True)
def test_a_process_that_would_die_of_the_question_is_not_asked(worker: WorkerProcess) -> None:
    deadline = time.monotonic() + 30.0
    while catches(worker.pid, TELL):  # it takes the handler away after its card was written
        assert time.monotonic() < deadline
    assert look_at(worker).stack is None
    assert look_at(worker).state in ("R", "S"), "it lives"


def test_a_process_of_the_same_number_born_later_is_another() -> None:
    here = WorkerProcess.here()
    other = WorkerProcess(here.host, here.node, here.pid, here.born - 1, here.thread, "")
    assert look_at(other) == Sight(other, "")
    assert not end(other)


def test_this_process_tells_where_the_thread_that_trains_stands() -> None:
    seen: list[Sight | None] = []
    mine = ThisProcess()
    asking = threading.Thread(target=lambda: seen.append(mine.look("a")))
    asking.start()
    asking.join()
    [sight] = seen
    assert sight is not None
    assert sight.stack is not None
    names = [frame.function for frame in sight.stack.frames]
    assert "test_this_process_tells_where_the_thread_that_trains_stands" in names
    assert not mine.end("a")


class Sleeper:
    """A trainer whose first evaluation is late, and says so to nobody."""

    def prepare(self) -> None:
        pass

    def trial(self, plan: TrialPlan) -> Iterator[Evaluation]:
        if plan.number == 0:
            slow_data_set()
        for epoch in range(1, plan.epochs + 1):
            yield Evaluation(
                epoch,
                epoch,
                plan.epochs,
                0,
                0,
                "cross_entropy",
                1e-3,
                {"ap": 0.5, "tuned_f1": 0.5},
                seconds=1.0,
                finished=epoch == plan.epochs,
            )


def slow_data_set() -> None:
    time.sleep(2.5)


def test_the_inline_runner_is_watched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pace, "UNKNOWN_S", 0.5)
    history = run_sweep(spec(trials=2), workspace(tmp_path), task=TrainingTask(Sleeper(), PRIOR, "sha256:0"))
    assert history.counts()["completed"] == 2
    lines = [r.getMessage() for r in caplog.records if r.name.endswith("running.silence")]
    assert lines
    assert "from trial 0, before its first evaluation, phase 1 (" in lines[0]
    assert "waits in slow_data_set (" in lines[0]
    assert "kill" not in lines[0], "that would end the sweep"
