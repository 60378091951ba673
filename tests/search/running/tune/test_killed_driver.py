"""Drivers of sweeps on Ray that end on the way: killed, or asked to while Ray starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from small_sweeps import workspace

from lossweep.search.ledger import Ledger
from lossweep.search.running.existing import existing_sweep
from lossweep.search.simulation.training_log import TrainingLog, trained
from tests.search.running.tune.ray_processes import gone, host_of, part_of


def agree(root: Path) -> list[TrialState]:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{root / 'lossweep.db'}")
    return [trial.state for trial in study.trials]


_DRIVER = """
import sys
from pathlib import Path
from small_sweeps import spec, task, workspace
from lossweep.search.running.driver import run_sweep

if __name__ == "__main__":
    root, resume = Path(sys.argv[1]), sys.argv[2] == "resume"
    sweep = spec(trials=6, resources={"runner": "tune"})
    run_sweep(sweep, workspace(root), resume=resume, task=task(root / "work", delay=0.2))
"""


@pytest.mark.slow
def test_a_killed_driver_is_gone_on_from(tmp_path: Path) -> None:
    """Its cluster dies with it; orphaned workers may go on for seconds, and do no harm."""
    script = tmp_path / "drive.py"
    script.write_text(_DRIVER, encoding="utf-8")
    folder = tmp_path / "work"
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    driver = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), "new"], env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(trained(folder)) < 7:
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running = host_of(driver.pid)
    assert running is not None
    driver.kill()
    driver.wait()
    assert gone(running.pid)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert state.state == "interrupted"
    assert "is gone" in state.note
    assert state.holder is None
    subprocess.run([sys.executable, str(script), str(tmp_path), "resume"], env=environment, check=True)
    ledger = Ledger(workspace(tmp_path).database_url)
    history = ledger.history("small")
    ledger.close()
    assert history.state == "finished"
    assert [trial.number for trial in history.trials] == list(range(6))
    assert history.counts()["completed"] == 6
    assert agree(tmp_path) == [TrialState.COMPLETE] * 6
    # What was trained twice, its workers had in hand, or went on with as orphans.
    assert TrainingLog(folder).trained_needlessly() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_ray_starts_ends_the_sweep_at_once_as_interrupted(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "drive.py"
    script.write_text(_DRIVER, encoding="utf-8")
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path), "new"], env=environment)
    try:
        while part_of(driver.pid, "gcs_server") is None:
            assert driver.poll() is None
            time.sleep(0.01)
        running = host_of(driver.pid)
        assert running is not None
        driver.send_signal(number)
        assert driver.wait(60.0) == 0  # of the script: it has the sweep as it stands
    finally:
        driver.kill()
    assert gone(running.pid, within=0.0)
    state = existing_sweep(workspace(tmp_path), "small")
    assert state is not None
    assert (state.state, state.note) == ("interrupted", f"interrupted by {number.name}")
    assert not any(state.counts.values())
