"""What submit and resume share: run the driver with its listeners, and say what came of it."""

from __future__ import annotations

import logging
import os

import typer

from search.history import SweepHistory
from search.home import Home
from search.sweep_spec import SweepSpec


def drive(spec: SweepSpec, home: Home, resume: bool) -> None:
    """Run a sweep to its end, or until it is stopped, and print its leaderboard.

    Raises:
        UserError: for what is wrong with the sweep file or its data.
        SweepFailed: when the first trials all failed alike.
        typer.Exit: with code 130 when the sweep was interrupted.
    """
    from rich.console import Console

    from dashboards.progress import ProgressDisplay
    from dashboards.tracking import MlflowListener
    from search.driver import run_sweep

    home.root.mkdir(parents=True, exist_ok=True)
    logs = home.logs(spec.name)
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=logs / "driver.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    # A file of its own: while the sweep runs, standard error itself leads Ray's noise into a log.
    with os.fdopen(os.dup(2), "w") as terminal:
        display = ProgressDisplay(Console(file=terminal))
        listeners = (MlflowListener(home.mlflow_uri, artifacts=home.artifacts), display)
        history = run_sweep(spec, home, listeners, resume=resume)
    conclude(history)
    if history.state == "interrupted":
        raise typer.Exit(130)


def conclude(history: SweepHistory) -> None:
    """Print the leaderboard and what to do next."""
    from rich.console import Console

    from dashboards.tables import leaderboard

    console = Console()
    console.print(leaderboard(history))
    name = history.name
    if history.state == "finished":
        steps = [
            f"lossweep dashboard {name}",
            f"lossweep export {name} -o best.yaml",
            "lossweep train best.yaml",
        ]
    else:
        steps = [f"lossweep resume {name}", f"lossweep status {name}"]
    console.print("Next: " + "   ".join(steps), style="bold", highlight=False, soft_wrap=True)
