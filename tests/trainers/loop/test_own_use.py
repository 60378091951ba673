"""What a trial takes is its own process's: another one that works beside it does not show."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from lossweep.trainers.loop import own_use
from lossweep.trainers.loop.own_use import CORES, GPU_MEMORY, MEMORY, OwnUse

CPU = torch.device("cpu")


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Clocks that stand still until they are moved."""
    told = SimpleNamespace(wall=100.0, worked=7.0)
    monkeypatch.setattr(time, "perf_counter", lambda: told.wall)
    monkeypatch.setattr(time, "process_time", lambda: told.worked)
    return told


def test_cores_are_processor_time_over_wall_time_since_the_last(clocks: SimpleNamespace) -> None:
    use = OwnUse(CPU)
    clocks.wall, clocks.worked = 104.0, 13.0
    assert use.taken()[CORES] == 1.5
    clocks.wall += 2.0
    assert use.taken()[CORES] == 0.0
    assert use.taken()[CORES] == 0.0, "no time at all"


def test_memory_is_of_this_process(clocks: SimpleNamespace) -> None:
    use = OwnUse(CPU)
    before = use.taken()
    assert before.keys() == {CORES, MEMORY}
    assert before[MEMORY] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05)


def test_another_process_does_not_count() -> None:
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    use = OwnUse(CPU)
    subprocess.run([sys.executable, "-c", code], check=True)
    time.sleep(0.3)
    assert use.taken()[CORES] < 0.5


def test_a_gpus_memory_is_the_most_that_its_tensors_took(
    monkeypatch: pytest.MonkeyPatch, clocks: SimpleNamespace
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: asked.append(("reset", device)))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: asked.append(device) or 3 * 2**20)
    gpu = torch.device("cuda", 1)
    use = OwnUse(gpu)
    assert use.taken()[GPU_MEMORY] == 3.0
    assert asked == [("reset", gpu), gpu, ("reset", gpu)]
    assert own_use.GPU_MEMORY not in OwnUse(CPU).taken()
