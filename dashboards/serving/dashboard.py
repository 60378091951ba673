"""A sweep's pages: MLflow on the sweep's own store, the report, and optuna-dashboard when asked for.

Everything listens on loopback unless told otherwise. Store addresses, which may hold a password, reach the
children through their environment and never through a command line, a link or a log.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from lossweep.dashboards.mlflow.address import check_store
from lossweep.dashboards.mlflow.content import CONFIRMATION
from lossweep.dashboards.mlflow.internals.names import server_environment
from lossweep.dashboards.mlflow.store import EXPERIMENT, quiet_mlflow
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.dashboards.mlflow.views import view_link
from lossweep.dashboards.report.build import build_report
from lossweep.dashboards.serving.processes import (
    LOOPBACK,
    await_answer,
    choose_port,
    reachable,
    start_process,
)
from lossweep.dashboards.serving.report_server import report_server
from lossweep.search.addresses import is_web, without_user
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.files.errors import UserError

STUDY_VARIABLE: Final = "LOSSWEEP_STUDY_URL"
MLFLOW_PORT: Final = 5000
OPTUNA_PORT: Final = 8080

_OPTUNA_PROGRAM: Final = (
    "import os, sys, optuna_dashboard; "
    f"url = os.environ.pop('{STUDY_VARIABLE}'); "
    "optuna_dashboard.run_server(url, host=sys.argv[1], port=int(sys.argv[2]))"
)


@dataclass(slots=True)
class Dashboard:
    """The running pages; a context manager that ends them with everything they started.

    Attributes:
        mlflow: the sweep's leaderboard in MLflow.
        views: all saved views by name.
        report: the report, built anew at every visit.
        optuna: optuna-dashboard, when asked for.
    """

    mlflow: str
    views: dict[str, str]
    report: str
    optuna: str | None = None
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the servers and wait until they are gone."""
        self._stack.close()

    def wait(self) -> None:
        """Return when one of the servers has ended by itself."""
        while all(child.poll() is None for child in self._children):
            time.sleep(0.2)


def start_dashboard(
    load: Callable[[], SweepHistory],
    mlflow_uri: str,
    *,
    database_url: str | None = None,
    host: str = LOOPBACK,
    port: int | None = None,
    optuna: bool = False,
    allowed_hosts: str | None = None,
    experiment: str = EXPERIMENT,
    log: Path | None = None,
    report: Callable[[SweepHistory], str] = build_report,
    patience: float = 120.0,
) -> Dashboard:
    """Start the pages and return once they answer.

    Args:
        load: reads the sweep from its database; called at every visit of the report.
        mlflow_uri: MLflow's store. A database gets a server of its own, an ``http`` address is used as it is.
        database_url: the study's database, for optuna-dashboard.
        host: to listen on.
        port: of MLflow; by default 5000 when it is free, else any free one. 0 takes any free one.
        optuna: also start optuna-dashboard.
        allowed_hosts: host names by which MLflow may be reached beside ``host``, for MLflow's
            ``--allowed-hosts``.
        experiment: the project's experiment.
        log: file for what the servers print; None discards it.
        report: builds the page.
        patience: seconds to wait for a server.

    Raises:
        UserError: the store can never work, the port is taken, a server did not start, or optuna-dashboard
            is not installed.
    """
    check_store(mlflow_uri)
    sweep = load()
    served = not is_web(mlflow_uri)
    chosen = choose_port(host, port, MLFLOW_PORT) if served else None  # a taken port is said before any work
    quiet_mlflow()
    if sweep.state != "running":  # the driver of a running sweep is the one that writes to MLflow
        sync(sweep, mlflow_uri, experiment, verify=False, report=report)
    identifier = _experiment_id(mlflow_uri, experiment)
    dashboard = Dashboard(mlflow="", views={}, report="")
    with ExitStack() as started:
        output: IO[bytes] | int = subprocess.DEVNULL
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = started.enter_context(log.open("ab"))
        base = without_user(mlflow_uri)
        servers = _Servers(host, started, output, patience, log)
        if chosen is not None:
            base = f"http://{reachable(host)}:{chosen}"
            servers.start_mlflow(mlflow_uri, chosen, allowed_hosts)
        if optuna:
            dashboard.optuna = servers.start_optuna(database_url)
        dashboard._children = servers.children
        its_port = started.enter_context(report_server(host, lambda: report(load())))
        dashboard.report = f"http://{reachable(host)}:{its_port}/"
        names = ["leaderboard", "curves", "by outcome", "sweeps"]
        names += [CONFIRMATION] if sweep.confirmation is not None else []
        dashboard.views = {name: view_link(base, identifier, sweep.name, name) for name in names}
        dashboard.mlflow = dashboard.views["leaderboard"]
        dashboard._stack = started.pop_all()
    return dashboard


@dataclass(slots=True)
class _Servers:
    """What every server has in common, and those that were started."""

    host: str
    started: ExitStack
    output: IO[bytes] | int
    patience: float
    log: Path | None
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_mlflow(self, uri: str, port: int, allowed_hosts: str | None) -> None:
        command = [sys.executable, "-m", "mlflow", "server"]
        command += ["--host", self.host, "--port", str(port), "--workers", "1"]
        if allowed_hosts:
            command += ["--allowed-hosts", allowed_hosts]
        self._start(command, server_environment(uri), port, "/health", "MLflow")

    def start_optuna(self, database_url: str | None) -> str:
        if database_url is None:
            raise UserError("optuna-dashboard needs the study's database")
        port = choose_port(self.host, None, OPTUNA_PORT)
        command = [sys.executable, "-c", _OPTUNA_PROGRAM, self.host, str(port)]
        name = "optuna-dashboard (is it installed?)"
        self._start(command, {STUDY_VARIABLE: database_url}, port, "/", name)
        return f"http://{reachable(self.host)}:{port}/dashboard/"

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], port: int, path: str, name: str
    ) -> None:
        child = start_process(self.started, command, environment, self.output)
        self.children.append(child)
        await_answer(child, (self.host, port), path, self.patience, name, self.log)


def _experiment_id(mlflow_uri: str, experiment: str) -> str:
    import mlflow

    found = mlflow.MlflowClient(tracking_uri=mlflow_uri).get_experiment_by_name(experiment)
    if found is None:
        raise UserError(f"MLflow knows no experiment {experiment!r} yet: the sweep has not started")
    return str(found.experiment_id)
