"""What submit, resume and confirm share: run the driver with its listeners, and say what came of it."""

from __future__ import annotations

import logging
import os
from contextlib import closing

import typer

from lossweep.commands.reading import home_words
from lossweep.search.control_spec import ConfirmSpec
from lossweep.search.study.history import SweepHistory
from lossweep.search.study.sweep_state import SweepState
from lossweep.search.sweep_spec import SweepSpec
from lossweep.search.workspace import Workspace


def drive(
    spec: SweepSpec,
    workspace: Workspace,
    resume: bool,
    system_metrics: bool = False,
    confirm: ConfirmSpec | None = None,
) -> None:
    """Run a sweep to its end, or until it is stopped, and print its leaderboard.

    Args:
        spec: what to run.
        workspace: where.
        resume: go on with the sweep of this name.
        system_metrics: also record this machine's CPU, GPU and memory use in MLflow.
        confirm: confirm the leaders that the sweep has now, and search no further.

    Raises:
        UserError: for what is wrong with the sweep file or its data.
        SweepFailed: when the first trials all failed alike.
        typer.Exit: with code 130 when the sweep was interrupted.
    """
    from rich.console import Console

    from lossweep.dashboards.mlflow.system_metrics import check_recorder
    from lossweep.dashboards.mlflow.tracking import MlflowListener
    from lossweep.dashboards.report.sweep_report import SweepReport
    from lossweep.dashboards.terminal.progress import ProgressDisplay
    from lossweep.search.running.driver import run_sweep
    from lossweep.search.running.stopping import StopRequest

    if system_metrics:
        check_recorder(gpu=spec.resources.gpus_per_trial > 0)
    workspace.root.mkdir(parents=True, exist_ok=True)
    logs = workspace.logs(spec.name)
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=logs / "driver.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    stop = StopRequest(signals=True)
    # A file of its own: while the sweep runs, standard error itself leads Ray's noise into a log.
    with (
        os.fdopen(os.dup(2), "w") as terminal,
        ProgressDisplay(Console(file=terminal), stopping=lambda: stop.reason) as display,
    ):
        tracking = MlflowListener(
            workspace.mlflow_uri,
            artifacts=workspace.artifacts,
            system_metrics=system_metrics,
            report=SweepReport(workspace),
        )
        history = run_sweep(spec, workspace, (tracking, display), resume=resume, stop=stop, confirm=confirm)
    note_run(workspace, spec.name, tracking.run)
    conclude(history, workspace)
    confirmed = history.confirmation is not None and history.confirmation.complete
    if confirm is not None and confirmed:
        return  # the search itself may well be unfinished, as it was before
    if history.state is SweepState.INTERRUPTED or confirm is not None:
        raise typer.Exit(130)


def note_run(workspace: Workspace, name: str, run: str | None) -> None:
    """Write into the ledger which run of MLflow shows a sweep."""
    from lossweep.search.ledger import Ledger

    if run is None:
        return
    with closing(Ledger(workspace.database_url)) as ledger:
        ledger.set_mlflow_run(name, run)


def conclude(history: SweepHistory, workspace: Workspace) -> None:
    """Print the leaderboard and what to do next."""
    from rich.console import Console

    from lossweep.dashboards.terminal.fitted_table import Column, FittedTable
    from lossweep.dashboards.terminal.tables import leaderboard, pareto_front, pruner_audit

    console = Console()
    console.print()
    for part in (leaderboard(history), *pareto_front(history), *pruner_audit(history)):
        console.print(part)
    name, where = history.name, home_words(workspace)
    if history.state is not SweepState.FINISHED:
        steps = {
            f"lossweep resume {name}{where}": "go on where it stopped",
            f"lossweep status {name}{where}": "see how it stands",
        }
    elif history.winner() is None:
        steps = {f"lossweep why {name} 0{where}": "see how its first trial ended"}
    else:
        steps = {
            f"lossweep dashboard {name}{where}": "see every trial in charts",
            f"lossweep export {name} -o best.yaml{where}": "write the best schedule",
            f"lossweep train best.yaml{where}": "train a model with it",
        }
    table = FittedTable(Column("Next", justify="left", style="bold"), least=24)
    for command, purpose in steps.items():
        table.add(command, long=purpose)
    console.print()
    console.print(table)
