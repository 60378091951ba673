"""Opens a sweep's pages for a person: prints their links and serves them until told to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lossweep.dashboards.serving.dashboard import start_dashboard
from lossweep.search.study.history import SweepHistory


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
