"""Ray workers that sleep, loop or are stopped for ever: said, given up at the limit, named at Ctrl-C."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ray
from small_sweeps import spec, task, workspace

from lossweep.search.ledger import Ledger
from lossweep.search.processes import process_stat
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.tune.cluster import connect, node_id
from lossweep.search.running.tune.temporary import folder_for_sockets
from lossweep.search.running.tune.workers import RayWorkers
from lossweep.search.running.worker_process import Sight, telling
from lossweep.search.study import pace
from lossweep.search.study.faults import FaultKind


def _asked_as_from_another_machine(folder: Path) -> Sight | None:
    """What this process is at, asked of Ray's node that it runs on."""
    workers = RayWorkers(folder, "another node")
    with telling(folder, node_id()) as process:
        process.write(folder, "a")
        return workers.look("a")


@pytest.mark.slow
def test_what_hangs_is_told_with_its_place_and_at_the_limit_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pace, "LEAST_S", 1.0)
    monkeypatch.setattr(pace, "TIMES", 1.0)
    planted = {0: "sleep", 1: "stop"}
    # On a busy machine a worker may take longer than that to start, and is given up for it as well.
    resources = {"runner": "tune", "evaluation_minutes": 8 / 60, "max_failures": 9}
    sweep = spec(trials=2, resources=resources)
    history = run_sweep(sweep, workspace(tmp_path), task=task(tmp_path / "work", planted))
    connect(None, folder := folder_for_sockets())
    try:
        seen = _asked_as_from_another_machine(tmp_path)
    finally:
        ray.shutdown()
        shutil.rmtree(folder)
    assert seen is not None
    assert seen.stack is not None
    assert "_asked_as_from_another_machine" in [frame.function for frame in seen.stack.frames]
    assert history.counts()["completed"] == 2
    ledger = Ledger(workspace(tmp_path).database_url)
    faults = [[a.fault for a in ledger.attempts(ledger.sweep("small").id, n)] for n in range(2)]
    ledger.close()
    assert [(set(lost), last) for *lost, last in faults] == [({FaultKind.WORKER_LOST}, None)] * 2
    limit = "no evaluation within resources.evaluation_minutes (0.133333)"
    for trial in history.trials:
        reasons = {decision.reason for decision in trial.decisions if decision.action == "retry"}
        assert reasons == {f"{limit}; resumed from its newest checkpoint"}
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    places = {0: "waits in <lambda> (", 1: "is stopped and cannot say where"}
    for number, place in places.items():
        lines = [
            line for line in said if f"from trial {number}, after step 64 (epoch 2/4), in phase 1" in line
        ]
        assert any(line.startswith("No evaluation for ") and place in line for line in lines), lines
        assert any(line.startswith("No evaluation within ") and place in line for line in lines), lines


_DRIVER = """
import sys
from pathlib import Path
from rich.console import Console
from small_sweeps import spec, task, workspace
from lossweep.dashboards.terminal.progress import ProgressDisplay
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.stopping import StopRequest

if __name__ == "__main__":
    root, stop = Path(sys.argv[1]), StopRequest(signals=True)
    work = task(root / "work", {0: "stop"})
    with ProgressDisplay(Console(file=sys.stdout), plain=True, stopping=lambda: stop.reason) as display:
        sweep = spec(trials=1, resources={"runner": "tune"})
        history = run_sweep(sweep, workspace(root), [display], task=work, stop=stop)
"""


@pytest.mark.slow
def test_ctrl_c_names_the_trial_it_waits_for_and_a_second_one_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "drive.py"
    script.write_text(_DRIVER, encoding="utf-8")
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    reading = threading.Thread(target=lambda: [lines.put(line) for line in driver.stdout or ()], daemon=True)
    reading.start()
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "work" / "0.stop").exists():
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [card] = [json.loads(p.read_text()) for p in tmp_path.glob("logs/small/tune-*/cards/*.json")]
        driver.send_signal(signal.SIGINT)
        while not (line := lines.get(timeout=120.0)).startswith("Stopping"):
            pass
        assert re.fullmatch(
            r"Stopping \(interrupted by Ctrl-C\): waits for the next evaluation of trial 0 "
            r"\(\d+ s so far, usually \d+ s\); Ctrl-C again stops at once\.\n",
            line,
        )
        driver.send_signal(signal.SIGINT)
        driver.wait(timeout=60.0)
    finally:
        if driver.poll() is None:
            driver.kill()
            driver.wait()
    deadline = time.monotonic() + 120
    while (stat := process_stat(card["pid"])) is not None and stat.born == card["born"]:
        assert time.monotonic() < deadline, "the stopped worker is still there"
        time.sleep(0.1)
