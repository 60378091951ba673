"""``lossweep why``: everything known of one trial."""

from __future__ import annotations

from typing import Annotated

import typer

from lossweep.commands.arguments import SweepName, WorkspaceFolder


def why(
    name: SweepName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="The trial's number.", show_default=False)],
    workspace: WorkspaceFolder = None,
) -> None:
    """Tell what a trial was, each decision about it with its figures, and how it ended."""
    from lossweep.commands.reading import existing
    from lossweep.dashboards.mlflow.consistency import run_of
    from lossweep.dashboards.terminal.console import TerminalConsole
    from lossweep.dashboards.terminal.trial_story import why as story
    from lossweep.search.ledger import Ledger
    from lossweep.search.ledger.records import reading
    from lossweep.search.upkeep.checkpoints import checkpoints_of
    from lossweep.spaces.files.errors import UserError

    where = existing(workspace)
    ledger = Ledger(where.database_url, read_only=True)
    try:
        history = ledger.history(name)
        with reading(name, "an attempt"):
            attempts = ledger.attempts(ledger.sweep(name).id, trial)
    finally:
        ledger.close()
    try:
        run = run_of(history, trial, where.mlflow_uri)
    except UserError as error:  # MLflow is only a view: all else is known
        run = f"not looked up: {error}"
    files = checkpoints_of(where, name, trial)
    TerminalConsole().print(story(history, trial, attempts=attempts, checkpoints=files, run=run))
