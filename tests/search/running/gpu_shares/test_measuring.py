"""Trials side by side for some seconds: real processes on a CPU, and ones that fail as GPUs make them."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lossweep.search.running.gpu_shares import child
from lossweep.search.running.gpu_shares.choice import Measured
from lossweep.search.running.gpu_shares.measuring import Rounds, measure
from lossweep.search.running.gpu_shares.messages import READY, Short, Trial
from lossweep.spaces.schedules.schedule import LossSchedule
from lossweep.trainers.data.spec import ScenesSource
from lossweep.trainers.guards.spec import GuardSpec
from lossweep.trainers.loop.memory import OutOfMemory
from lossweep.trainers.plan import MeasureSpec, ModelSpec, TrainingSpec, TrialPlan
from lossweep.trainers.trial import SegmentationTrainer

SCENES = ScenesSource(source="scenes", tile=64, train=12, val=2, test=1)
PLAN = TrialPlan(
    number=0,
    seed=0,
    schedule=LossSchedule.parse("jaccard @1e-3 x2"),
    data=SCENES,
    model=ModelSpec(encoder="tu-test_resnet", options={"encoder_depth": 3, "decoder_channels": (32, 16, 16)}),
    training=TrainingSpec(batch=4),
    guards=GuardSpec(),
    measure=MeasureSpec(),
)

CHILD = """
import sys, time
from multiprocessing.connection import Connection
from lossweep.search.running.gpu_shares.messages import READY, Pace, Short
connection = Connection(int(sys.argv[1]))
connection.recv()
connection.send(READY)
while True:
    try:
        share = connection.recv()
        count = round(1 / share)
        {first}
        connection.send(READY)
        connection.recv()
        {then}
        connection.send(Pace(100.0 + share, int(1000 * share)))
    except EOFError:
        break
"""


def rounds(
    tmp_path: Path,
    first: str = "pass",
    then: str = "pass",
    counts: tuple[int, ...] = (1, 2),
    within_s: float = 60.0,
) -> Rounds:
    """What comes of processes that do this when they are asked for a round, and when it begins."""
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(first=first, then=then))
    trial = Trial(PLAN, None)  # type: ignore[arg-type]  # nobody trains
    command = (sys.executable, str(script))
    return measure(trial, counts, log_file=tmp_path / "log", within_s=within_s, command=command)


def trials(measured: Sequence[Measured]) -> list[int]:
    return [each.trials for each in measured]


@pytest.mark.slow
def test_real_processes_train_side_by_side(tmp_path: Path) -> None:
    trainer = SegmentationTrainer(SCENES, tmp_path / "cache", None)
    found = measure(Trial(PLAN, trainer, 0.3), (1, 2), log_file=tmp_path / "logs" / "log")
    assert found.note == "", (tmp_path / "logs" / "log").read_text()
    assert trials(found.measured) == [1, 2]
    assert all(each.images_per_second > 1.0 for each in found.measured)
    assert not found.short


@pytest.mark.slow
def test_what_is_measured_adds_up_and_what_ends_it_is_told(tmp_path: Path) -> None:
    began = time.monotonic()
    whole = rounds(tmp_path, counts=(1, 2, 4))
    usual_s = time.monotonic() - began
    assert whole.measured == (
        Measured(1, 101.0, 1000),
        Measured(2, 2 * 100.5, 500),
        Measured(4, 4 * 100.25, 250),
    )
    assert (whole.short, whole.note) == (False, "")
    for first, then in (("SHORT", "pass"), ("pass", "SHORT")):
        four = "if count == 2: connection.send(Short()); connection.recv()"
        short = rounds(tmp_path, first.replace("SHORT", four), then.replace("SHORT", four))
        assert trials(short.measured) == [1]
        assert (short.short, short.note) == (True, "")
    failed = rounds(tmp_path, "if count == 2: connection.send('ValueError: broken')")
    assert (trials(failed.measured), failed.note) == ([1], "ValueError: broken")
    ended = rounds(tmp_path, then="if count == 2: sys.exit(1)")
    assert (trials(ended.measured), ended.note) == ([1], "a process ended")
    began = time.monotonic()
    late = rounds(tmp_path, "if count == 2: time.sleep(600)", within_s=2 * usual_s)
    assert (trials(late.measured), late.note) == ([1], "the time was over")
    assert time.monotonic() - began < 300.0


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OutOfMemory("no memory for 8 images", 8), Short()),
        (RuntimeError("CUDA error: out of memory"), Short()),
        (ValueError("broken\nby a line"), "ValueError: broken"),
    ],
)
def test_a_process_tells_a_lack_of_memory_from_a_mistake(
    monkeypatch: pytest.MonkeyPatch, error: Exception, answer: object
) -> None:
    class Line:
        """Asks for one round, and hangs up."""

        def __init__(self, *_: object) -> None:
            self.given = iter([Trial(PLAN, Trainer()), 0.5])  # type: ignore[arg-type]  # trains nothing
            self.sent: list[object] = []
            lines.append(self)

        def recv(self) -> object:
            for message in self.given:
                return message
            raise EOFError

        def send(self, message: object) -> None:
            self.sent.append(pickle.loads(pickle.dumps(message)))

    class Trainer:
        prepare = data = staticmethod(lambda: None)

    def failing(*_: object) -> None:
        raise error

    lines: list[Line] = []
    monkeypatch.setattr(child, "Connection", Line)
    monkeypatch.setattr(child.os, "set_inheritable", lambda *_: None)
    monkeypatch.setattr("lossweep.trainers.pace.pace", failing)
    monkeypatch.setattr(sys, "argv", ["child", "9"])
    child.main()
    assert lines[0].sent == [READY, answer]
