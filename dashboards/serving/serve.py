"""Opens a sweep's pages: MLflow on the sweep's own store, the report, and optuna-dashboard when asked for.

Everything listens on loopback unless told otherwise. Store addresses, which may hold a password, reach the
children through their environment and never through a command line, a link or a log.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from lossweep.dashboards.mlflow.store import EXPERIMENT, quiet_mlflow
from lossweep.dashboards.mlflow.tracking import sync
from lossweep.dashboards.mlflow.views import view_link
from lossweep.dashboards.report.build import build_report
from lossweep.search.study.history import SweepHistory
from lossweep.spaces.files.errors import UserError

STUDY_VARIABLE: Final = "LOSSWEEP_STUDY_URL"
LOOPBACK: Final = "127.0.0.1"
MLFLOW_PORT: Final = 5000

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
        UserError: the port is taken, a server did not start, or optuna-dashboard is not installed.
    """
    sweep = load()
    served = not mlflow_uri.startswith(("http://", "https://"))
    chosen = _port(host, port, MLFLOW_PORT) if served else None  # a taken port is said before any work
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
        base = mlflow_uri
        if chosen is not None:
            base = f"http://{_named(host)}:{chosen}"
            command = [
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--host",
                host,
                "--port",
                str(chosen),
                "--workers",
                "1",
            ]
            if allowed_hosts:
                command += ["--allowed-hosts", allowed_hosts]
            environment = {
                "MLFLOW_BACKEND_STORE_URI": mlflow_uri,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }
            child = _start(started, command, environment, output)
            dashboard._children.append(child)
            _await(child, host, chosen, "/health", patience, "MLflow", log)
        if optuna:
            if database_url is None:
                raise UserError("optuna-dashboard needs the study's database")
            beside = _port(host, None, 8080)
            command = [sys.executable, "-c", _OPTUNA_PROGRAM, host, str(beside)]
            child = _start(started, command, {STUDY_VARIABLE: database_url}, output)
            dashboard._children.append(child)
            _await(child, host, beside, "/", patience, "optuna-dashboard (is it installed?)", log)
            dashboard.optuna = f"http://{_named(host)}:{beside}/dashboard/"
        server = _report_server(host, lambda: report(load()))
        started.callback(server.server_close)
        started.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, name="lossweep-report", daemon=True).start()
        dashboard.report = f"http://{_named(host)}:{server.server_address[1]}/"
        names = ("leaderboard", "curves", "by outcome", "sweeps")
        dashboard.views = {name: view_link(base, identifier, sweep.name, name) for name in names}
        dashboard.mlflow = dashboard.views["leaderboard"]
        dashboard._stack = started.pop_all()
    return dashboard


def serve_dashboard(
    load: Callable[[], SweepHistory],
    mlflow_uri: str,
    *,
    echo: Callable[[str], None] = print,
    browser: bool = False,
    **settings: object,
) -> None:
    """Start the pages, print their links and serve until Ctrl-C, SIGTERM or the terminal's end.

    Args:
        load: reads the sweep from its database.
        mlflow_uri: MLflow's store.
        echo: prints one line.
        browser: also open the report in the user's browser.
        settings: as `start_dashboard` takes them.
    """
    echo("Starting MLflow; the first start of a new store takes some ten seconds.")
    with (
        _interrupted_by_signals(),
        contextlib.suppress(KeyboardInterrupt),
        start_dashboard(load, mlflow_uri, **settings) as dashboard,  # type: ignore[arg-type] # passed on
    ):
        echo(f"Report:       {dashboard.report}")
        for name, link in dashboard.views.items():
            echo(f"MLflow:       {link}  ({name})")
        if dashboard.optuna:
            echo(f"Optuna:       {dashboard.optuna}")
        echo("Ctrl-C ends them.")
        if browser:
            import webbrowser

            webbrowser.open(dashboard.report)
        try:
            dashboard.wait()
        except KeyboardInterrupt:
            echo("Ending the servers.")


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let every signal that asks for an end do as Ctrl-C does, so that no server is left behind.

    The servers are in process groups of their own: a closing terminal tells this process alone.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, interrupt)) for number in asked]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _port(host: str, wanted: int | None, usual: int) -> int:
    if wanted == 0:
        return free_port(host)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted or usual))
        except OSError as error:
            if wanted is None:
                return free_port(host)
            raise UserError(f"port {wanted} on {host} can't be used: {error.strerror or error}") from error
    return wanted or usual


def _start(
    started: ExitStack, command: Sequence[str], environment: dict[str, str], output: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # one process group, so that a server's own workers end with it
    )
    started.callback(_end, child)
    return child


def _end(child: subprocess.Popen[bytes]) -> None:
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signalled)
        except ProcessLookupError:
            break
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def _await(
    child: subprocess.Popen[bytes],
    host: str,
    port: int,
    path: str,
    patience: float,
    name: str,
    log: Path | None,
) -> None:
    end = time.monotonic() + patience
    place = f"; see {log}" if log else ""
    while time.monotonic() < end:
        if child.poll() is not None:
            raise UserError(f"{name} ended with exit code {child.returncode} while starting{place}")
        connection = http.client.HTTPConnection(_named(host), port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise UserError(f"{name} did not answer on port {port} within {patience:.0f} s{place}")


def _named(host: str) -> str:
    """Return the host by which this machine reaches what listens on ``host``."""
    return LOOPBACK if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host


def _experiment_id(mlflow_uri: str, experiment: str) -> str:
    import mlflow

    found = mlflow.MlflowClient(tracking_uri=mlflow_uri).get_experiment_by_name(experiment)
    if found is None:
        raise UserError(f"MLflow knows no experiment {experiment!r} yet: the sweep has not started")
    return str(found.experiment_id)


def _report_server(host: str, build: Callable[[], str]) -> ThreadingHTTPServer:
    loopback = host in (LOOPBACK, "localhost", "::1")

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = (self.headers.get("Host") or "").rpartition(":")[0]
            if loopback and name not in (LOOPBACK, "localhost", "[::1]"):
                # A page elsewhere could point its own name at this machine and read the report.
                self.send_error(403, "Invalid Host header")
                return
            if self.path not in ("/", "/report.html"):
                self.send_error(404)
                return
            try:
                page, status = build().encode("utf-8"), 200
            except Exception as error:
                page, status = f"The report could not be built: {type(error).__name__}".encode(), 500
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8" if status == 200 else "text/plain")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the links were printed, and visits are no news."""

    server = ThreadingHTTPServer((host, 0), Page)
    server.daemon_threads = True
    return server
