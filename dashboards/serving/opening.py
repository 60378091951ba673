"""Opens a sweep's pages for a person: prints their links and serves them until told to end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from lossweep.dashboards.serving.dashboard import start_dashboard
from lossweep.dashboards.serving.processes import LOOPBACK, reachable
from lossweep.dashboards.serving.report_server import report_server
from lossweep.search.study.history import SweepHistory

FRESH_S: Final = 20.0
"""How long a page that was fetched from elsewhere is shown again."""


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


def serve_report(
    build: Callable[[], str],
    *,
    echo: Callable[[str], None] = print,
    browser: bool = False,
    host: str = LOOPBACK,
) -> None:
    """Serve a report that somebody else builds, until Ctrl-C, SIGTERM or the terminal's end.

    Args:
        build: makes the page; called at a visit, unless the last page is younger than `FRESH_S`.
        echo: prints one line.
        browser: also open it in the user's browser.
        host: to listen on.
    """
    pages: list[tuple[float, str]] = []
    one_at_a_time = threading.Lock()

    def page() -> str:
        with one_at_a_time:
            if not pages or time.monotonic() - pages[-1][0] > FRESH_S:
                built = build()
                pages[:] = [(time.monotonic(), built)]
            return pages[-1][1]

    with (
        _interrupted_by_signals(),
        contextlib.suppress(KeyboardInterrupt),
        report_server(host, page) as port,
    ):
        link = f"http://{reachable(host)}:{port}/report.html"
        echo(f"Report:       {link}")
        echo("Ctrl-C ends it.")
        if browser:
            import webbrowser

            webbrowser.open(link)
        threading.Event().wait()


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
