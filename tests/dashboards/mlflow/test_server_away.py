"""MLflow's own server is killed while a sweep runs, and started again: no number is lost."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow_reading import assert_equal

from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.dashboards.serving.processes import LOOPBACK, free_port
from lossweep.search.running.driver import run_sweep
from lossweep.search.running.task import TrainingTask
from lossweep.search.simulation.planted_trainer import PlantedTrainer
from lossweep.search.simulation.training_log import trained
from lossweep.search.study.events import Event, TrialEvaluated
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace
from lossweep.spaces.class_prior import ClassPrior

TRIALS, EPOCHS = 4, 5
PRIOR = ClassPrior(names=("background", "vehicle"), frequencies=(0.99, 0.01))
SPEC = SweepSpec.model_validate(
    {
        "name": "away",
        "data": {"source": "scenes"},
        "space": {"preset": "single"},
        "objective": {"use_case": "balanced"},
        "pruning": {"pruner": "none"},
        "sampler": {"sampler": "random"},
        "budget": {"trials": TRIALS, "epochs": EPOCHS},
        "resources": {"runner": "inline"},
    }
)


def until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Server:
    """MLflow's server, at the same address each time it is started."""

    def __init__(self, store: str) -> None:
        self.port = free_port()
        self.uri = f"http://{LOOPBACK}:{self.port}"
        self.store = store
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--host", LOOPBACK, "--port", str(self.port), "--workers", "1"]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, *options],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._answers)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None


class Outage:
    """Kills the server once some is written, and starts it again near the sweep's end."""

    def __init__(self, server: Server, listener: MlflowListener) -> None:
        self._server, self._listener, self._seen = server, listener, 0
        self.waiting = 0
        self.back = threading.Thread(target=server.start)

    def handle(self, event: Event) -> None:
        self._seen += isinstance(event, TrialEvaluated)
        if isinstance(event, TrialEvaluated) and self._seen == 7:
            until(lambda: self._listener.pending < 4)
            self._server.kill()
        if isinstance(event, TrialEvaluated) and self._seen == TRIALS * EPOCHS - 2:
            self.waiting = self._listener.pending
            self.back.start()

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_every_number_arrives(mlflow_template: Path, tmp_path: Path) -> None:
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    server = Server(f"sqlite:///{tmp_path / 'mlflow.db'}")
    listener = MlflowListener(server.uri, artifacts=tmp_path, report=None, retry=(0.05, 0.2), away=60.0)
    outage = Outage(server, listener)
    workspace = Workspace(tmp_path, f"sqlite:///{tmp_path / 'lossweep.db'}", server.uri)
    work = TrainingTask(PlantedTrainer(tmp_path / "work", 0.02), PRIOR, "sha256:0")
    try:
        server.start()
        history = run_sweep(SPEC, workspace, [outage, listener], task=work, on_signal=False)
        outage.back.join()
        assert history.counts()["completed"] == TRIALS
        assert len(trained(tmp_path / "work")) == TRIALS * EPOCHS
        assert outage.waiting >= TRIALS * EPOCHS - 2 - 7
        assert (listener.pending, listener.dropped) == (0, 0)
        assert_equal(server.store, history)
    finally:
        server.kill()
